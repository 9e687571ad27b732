"""What a portfolio execution holds and what it is worth: exact amounts, booked from fills alone.

Money, prices and quantities are Decimal with at most 12 decimals, as the tables hold them; money is in the
quote currency. `exact` arithmetic never rounds by itself: what is booked is rounded once, by `booked`.
"""

from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from msgspec import Struct

from models.signal import Action

DECIMALS = 12
ZERO = Decimal(0)
EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)  # the product of any two booked numbers fits
_SMALLEST = Decimal(1).scaleb(-DECIMALS)


def booked(amount: Decimal) -> Decimal:
    """Round to the 12 decimals of the tables, half to even."""
    return amount.quantize(_SMALLEST, context=EXACT)


def decimal_of(number: float) -> Decimal:
    """Return the number that a float is written as, booked: that of 0.1 is 0.1 and nothing more.

    >>> decimal_of(0.1) * 3 == Decimal("0.3")
    True
    """
    return booked(Decimal(repr(number)))


class Fill(Struct, frozen=True, kw_only=True):
    """A part of an order, or all of it, that was executed. `price` is without the fee; all are above zero."""

    order_id: str
    symbol: str
    side: Action
    quantity: Decimal
    price: Decimal
    filled_at: datetime
    fee: Decimal = ZERO


class Holding(Struct, frozen=True):
    """What is held of one symbol: `quantity` is negative when short, and `cost` has its sign.

    `cost` is what was paid for it (received, when short), by average cost. `trade_pnl` is what the round trip
    under way has realised, after its fees. `last_price` is the one of the last fill, or a later one of the
    market that was written down.
    """

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    trade_pnl: Decimal = ZERO
    last_price: Decimal = ZERO

    @property
    def average_price(self) -> Decimal:
        """What one unit cost on average, before fees; zero when nothing is held."""
        if not self.quantity:
            return ZERO
        with localcontext(EXACT):
            return booked(self.cost / self.quantity)


class Trades(Struct, frozen=True):
    """Round trips that have ended: from the fill that opens a position to the one that closes it.

    A fill that turns a position round ends one trade and opens the next. It won when what it realised exceeds
    its fees, lost when it is below them. Source of the definition: CFTC glossary, "Round Turn".
    """

    total: int = 0
    winning: int = 0
    losing: int = 0


class Ledger(Struct, frozen=True, kw_only=True):
    """The books of one execution. `holdings` names only what is held; `fees` are not in `realised_pnl`."""

    capital: Decimal
    cash: Decimal
    holdings: dict[str, Holding] = {}
    realised_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    trades: Trades = Trades()


class PositionValue(Struct, frozen=True, kw_only=True):
    """One holding at its market price. `weight` is its share of the portfolio's equity."""

    quantity: Decimal
    average_price: Decimal
    price: Decimal
    value: Decimal
    unrealised_pnl: Decimal
    weight: Decimal


class Valuation(Struct, frozen=True, kw_only=True):
    """The books at market prices. `equity` is cash and positions; `exposure` the sum of |positions|.

    Always `equity == capital + realised_pnl + unrealised_pnl - fees`, to the last decimal.
    """

    positions: dict[str, PositionValue]
    equity: Decimal
    exposure: Decimal
    realised_pnl: Decimal
    unrealised_pnl: Decimal
    fees: Decimal

    @property
    def total_pnl(self) -> Decimal:
        """What was won since the beginning, fees taken off."""
        return self.realised_pnl + self.unrealised_pnl - self.fees


class TradingDay(Struct, frozen=True):
    """A trading day as a portfolio goes through it: its opening value is the last one of the day before."""

    day: date
    opening: Decimal
    latest: Decimal

    @property
    def pnl(self) -> Decimal:
        """What was won since the day's opening."""
        return self.latest - self.opening

    def at(self, today: date, equity: Decimal) -> "TradingDay":
        """Return the day once the portfolio is worth `equity`: this one, or the next with its opening."""
        return TradingDay(today, self.opening if today == self.day else self.latest, equity)
