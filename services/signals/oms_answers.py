"""Says what an answer of the OMS means, from the answer and from what was answered before.

An answer's quantity and price are taken as FIX takes CumQty (tag 14) and AvgPx (tag 6): all that was filled
until then, and its average price. 0 is what proto3 gives for a field that nobody set: not said.
"""

from typing import TYPE_CHECKING

from msgspec import Struct

from models.errors import Uncertain
from services.oms.protocol import OrderStatus
from services.signals.verdict import LARGEST_AMOUNT, Executed, Rejected

if TYPE_CHECKING:
    from services.oms.protocol import OrderResponse

LONGEST_REASON = 200


class Progress(Struct, frozen=True, kw_only=True):
    """What the OMS has said of an order that is not done: nothing, at first."""

    status: str = "nothing"
    order_id: str | None = None
    filled: int = 0
    price: float | None = None


Said = Progress | Executed | Rejected


def judge_answer(asked: int, so_far: Progress, answer: "OrderResponse") -> Said:
    """Say where an order of `asked` units stands after one more answer.

    What was filled before an order was cancelled or rejected is an execution. Raises Uncertain where the
    answer contradicts itself, what was asked, or what was said before: nobody knows then what was filled.
    """
    filled = answer.filled_quantity or so_far.filled
    progress = Progress(
        status=_name(answer.status),
        order_id=so_far.order_id or answer.order_id or None,
        filled=filled,
        price=answer.filled_price or so_far.price,
    )
    _refuse_contradictions(asked, so_far, progress, answer)
    match answer.status:
        case OrderStatus.FILLED:
            return _executed(progress, asked)
        case OrderStatus.CANCELLED | OrderStatus.REJECTED:
            return _executed(progress, filled) if filled else Rejected(reason=_reason(answer))
    return progress


def _refuse_contradictions(asked: int, before: Progress, now: Progress, answer: "OrderResponse") -> None:
    told = f"the OMS contradicts itself: {now.status}, {now.filled} of {asked} filled"
    if now.filled < before.filled:
        raise Uncertain(f"{told}, after {before.filled} (is its quantity that of the last fill only?)")
    if not 0 <= now.filled <= asked:
        raise Uncertain(told)
    if answer.status == OrderStatus.FILLED and answer.filled_quantity not in {0, asked}:
        raise Uncertain(f"{told} (is its quantity that of the last fill only?)")
    if now.price is not None and not 0 < now.price <= LARGEST_AMOUNT:
        raise Uncertain(f"{told} at a price of {now.price}")


def _executed(progress: Progress, quantity: int) -> Executed:
    return Executed(
        status="filled",
        order_id=progress.order_id,
        filled_quantity=float(quantity),
        filled_price=progress.price,
    )


def _reason(answer: "OrderResponse") -> str:
    name, message = _name(answer.status).lower(), " ".join(answer.message.split())[:LONGEST_REASON]
    if answer.status == OrderStatus.CANCELLED and message:
        return f"{name}: {message}"
    return message or name


def _name(status: int) -> str:
    """Return the name of a status; a newer OMS may have some that this file does not know."""
    try:
        return OrderStatus.Name(status)
    except ValueError:
        return f"status {status}"
