"""Whether a position has lost so much that it must be closed, and the order that closes it. Pure."""

from decimal import Decimal, localcontext

from models.portfolio import EXACT, PositionValue
from models.risk import Order
from models.session import AssetType


def stop_price(quantity: Decimal, entry: Decimal, stop_loss: Decimal, buffer: Decimal) -> Decimal:
    """Return the price at which a position is closed: below its entry when long, above it when short.

    entry × (1 - (stop_loss + buffer)) for longs, entry × (1 + (stop_loss + buffer)) for shorts; both are
    shares of 1.
    """
    with localcontext(EXACT):
        distance = entry * (stop_loss + buffer)
        return entry - distance if quantity > 0 else entry + distance


def is_stopped_out(
    quantity: Decimal, entry: Decimal, price: Decimal, stop_loss: Decimal, buffer: Decimal
) -> bool:
    """Whether `price` is at the stop price or beyond. Never on a gain, nor where a number is wrong.

    `quantity` is negative when short; `stop_loss` and `buffer` are shares of the entry price.
    """
    numbers = (quantity, entry, price, stop_loss, buffer)
    if not all(number.is_finite() for number in numbers) or not quantity or entry <= 0 or price <= 0:
        return False
    if stop_loss < 0 or buffer < 0:
        return False
    stop = stop_price(quantity, entry, stop_loss, buffer)
    return price <= min(stop, entry) if quantity > 0 else price >= max(stop, entry)


def stop_loss_order(  # noqa: PLR0913 — whose, which, and against what
    held: PositionValue,
    stop_loss: Decimal,
    buffer: Decimal,
    *,
    order_id: str,
    owner: str,
    symbol: str,
    asset_type: AssetType = "stock",
) -> Order | None:
    """Return the order that closes a position which has met its stop loss, at its market price; else None."""
    if not is_stopped_out(held.quantity, held.average_price, held.price, stop_loss, buffer):
        return None
    return Order(
        order_id=order_id,
        owner=owner,
        symbol=symbol,
        side="SELL" if held.quantity > 0 else "BUY",
        quantity=abs(held.quantity),
        price=held.price,
        asset_type=asset_type,
    )
