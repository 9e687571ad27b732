"""What an order does to an account: pure arithmetic in Decimal.

Everything booked is rounded, half to even, to the 12 decimals that the ledger's columns hold, so that what
is computed here is exactly what is stored.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from models.signal import Action
from services.paper.options import BASIS_POINTS

DECIMALS = 12
SMALLEST = Decimal(1).scaleb(-DECIMALS)
LARGEST = Decimal(10) ** 12  # of a price or a quantity

_EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)  # the product of any two stored numbers fits


@dataclass(frozen=True, slots=True)
class Order:
    """A signal as the ledger books it. `price` is in the quote currency, both amounts are above zero."""

    signal_id: str
    session_id: str
    symbol: str
    action: Action
    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Terms:
    """What trading costs, in basis points."""

    fee_bps: Decimal = Decimal(0)
    slippage_bps: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Holding:
    """How much of a symbol a session holds, and what a unit of it cost on average, before fees."""

    quantity: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Fill:
    """An order executed: at which price and fee, and what cash and holding are afterwards.

    `realized_pnl` is (price - average price) x quantity of a SELL, before the fee; None on a BUY.
    """

    price: Decimal
    fee: Decimal
    realized_pnl: Decimal | None
    balance: Decimal
    holding: Holding


@dataclass(frozen=True, slots=True)
class Shortfall:
    """An order that the account cannot bear."""

    error: str
    message: str


def rounded(amount: Decimal) -> Decimal:
    """Round to the decimals of the ledger."""
    return amount.quantize(SMALLEST, context=_EXACT)


def decide(order: Order, terms: Terms, balance: Decimal, holding: Holding) -> Fill | Shortfall:
    """Fill the order whole, or say what the account lacks. Slippage and fee count before the funds do."""
    with localcontext(_EXACT):
        return (
            _buy(order, terms, balance, holding)
            if order.action == "BUY"
            else _sell(order, terms, balance, holding)
        )


def _buy(order: Order, terms: Terms, balance: Decimal, holding: Holding) -> Fill | Shortfall:
    price = rounded(order.price * (1 + terms.slippage_bps / BASIS_POINTS))
    value = rounded(price * order.quantity)
    fee = rounded(value * terms.fee_bps / BASIS_POINTS)
    if balance < value + fee:
        message = (
            f"the order costs {_plain(value + fee)} with slippage and fee, the balance is {_plain(balance)}"
        )
        return Shortfall("insufficient_funds", message)
    quantity = holding.quantity + order.quantity
    cost = holding.quantity * holding.average_price + order.quantity * price
    return Fill(price, fee, None, balance - value - fee, Holding(quantity, rounded(cost / quantity)))


def _sell(order: Order, terms: Terms, balance: Decimal, holding: Holding) -> Fill | Shortfall:
    if holding.quantity < order.quantity:
        held, wanted = _plain(holding.quantity), _plain(order.quantity)
        message = f"the order sells {wanted} {order.symbol}, the session holds {held}"
        return Shortfall("insufficient_position", message)
    price = max(SMALLEST, rounded(order.price * (1 - terms.slippage_bps / BASIS_POINTS)))
    value = rounded(price * order.quantity)
    fee = rounded(value * terms.fee_bps / BASIS_POINTS)
    gain = rounded((price - holding.average_price) * order.quantity)
    rest = holding.quantity - order.quantity
    left = Holding(rest, holding.average_price) if rest else Holding()
    return Fill(price, fee, gain, balance + value - fee, left)


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
