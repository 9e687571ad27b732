"""What to trade so that a portfolio is what it should be: quantities from shares, equity and prices."""

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal, localcontext

from msgspec import Struct

from models.execution_plan import is_crypto
from models.portfolio import EXACT, ZERO, Valuation
from models.signal import Action

FRACTION = Decimal(1).scaleb(-8)  # the smallest part of a coin that is ordered
WHOLE = Decimal(1)


class Wish(Struct, frozen=True, kw_only=True):
    """An order that would bring a portfolio nearer to its allocation, before anybody checked it."""

    symbol: str
    side: Action
    quantity: Decimal
    price: Decimal


def tradable(symbol: str, quantity: Decimal) -> Decimal:
    """Round a quantity down to what can be ordered: whole shares, hundred-millionths of a coin."""
    step = FRACTION if is_crypto(symbol) else WHOLE
    return quantity.quantize(step, rounding=ROUND_DOWN, context=EXACT)


def target_quantity(symbol: str, share: Decimal, equity: Decimal, price: Decimal) -> Decimal:
    """Return how much of a symbol its share of the equity buys, rounded down to what can be ordered."""
    with localcontext(EXACT):
        return tradable(symbol, share * max(equity, ZERO) / price)


def wishes(
    targets: Mapping[str, Decimal], value: Valuation, prices: Mapping[str, Decimal]
) -> tuple[Wish, ...]:
    """Return what brings every symbol of `targets` (its share) to its quantity, sells before buys.

    Raises KeyError for a symbol without a price.
    """
    found = []
    for symbol, share in targets.items():
        held = value.positions[symbol].quantity if symbol in value.positions else ZERO
        change = target_quantity(symbol, share, value.equity, prices[symbol]) - held
        if change := tradable(symbol, change):
            side: Action = "BUY" if change > 0 else "SELL"
            found.append(Wish(symbol=symbol, side=side, quantity=abs(change), price=prices[symbol]))
    return tuple(sorted(found, key=lambda wish: wish.side == "BUY"))


def closing(value: Valuation, prices: Mapping[str, Decimal]) -> tuple[Wish, ...]:
    """Return what closes every position, at these prices, else at those of the last fills."""
    return tuple(
        Wish(
            symbol=symbol,
            side="SELL" if held.quantity > 0 else "BUY",
            quantity=abs(held.quantity),
            price=prices.get(symbol, held.price),
        )
        for symbol, held in value.positions.items()
    )


def has_drifted(targets: Mapping[str, Decimal], value: Valuation, limit: Decimal) -> bool:
    """Whether any symbol's weight is further than `limit` from its target."""
    weights = {symbol: held.weight for symbol, held in value.positions.items()}
    return any(abs(weights.get(symbol, ZERO) - share) > limit for symbol, share in targets.items())
