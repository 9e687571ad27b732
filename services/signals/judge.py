"""Says what an answer of the gateway means, from the answer alone: the table of outcomes, row by row.

An answer that settles nothing is raised as `Uncertain`: the order may or may not exist. What never became
an answer (refused connections, timeouts) is told apart by the gateway client, which raises `NotSent` or
`Uncertain` itself.
"""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from models.errors import Uncertain
from services.signals.explanation import explain, is_json_object, says_in_progress, says_session_is_gone
from services.signals.verdict import (
    LARGEST_AMOUNT,
    Blocked,
    Executed,
    InProgress,
    NeverSeen,
    Rejected,
    Reply,
    RetryAfter,
    Verdict,
)

LONGEST_RETRY_AFTER = 3600.0
# What only the gateway itself says about a signal; a proxy before it says other things, in HTML.
SPOKEN_BY_THE_GATEWAY = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.GONE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}


class _Execution(Struct, rename="camel"):
    """The body of an execution. What only informs may be of any type; what is booked may not."""

    status: str | None = None
    filled_quantity: Annotated[float, Meta(ge=0, le=LARGEST_AMOUNT)] | None = None
    filled_price: Annotated[float, Meta(ge=0, le=LARGEST_AMOUNT)] | None = None
    order_id: Any = None
    balance: Any = None
    fee: Any = None
    success: Any = None
    error: Any = None


_decode_execution = msgspec.json.Decoder(_Execution).decode


def judge(reply: Reply, wall_time: float) -> Verdict:
    """Say what the answer to `POST /internal/execute` means; `wall_time` is the Unix time now.

    Raises Uncertain where the signal may have been executed and the answer does not tell.
    """
    if (verdict := _not_now(reply, wall_time)) is not None:
        return verdict
    match reply.status // 100:
        case 2:
            return _judge_execution(reply)
        case 3:
            reason = f"redirect_{reply.status}: GATEWAY_URL does not name the gateway itself"
            return Rejected(reason=reason, settles=False)
        case 4:
            return _judge_refusal(reply, wall_time)
    raise Uncertain(_reason(reply))


def judge_read_back(reply: Reply, wall_time: float) -> Verdict:
    """Say what the answer to `GET /internal/executions/{signalId}` means.

    Raises Uncertain where the fate of the signal is still unknown.
    """
    if (verdict := _not_now(reply, wall_time)) is not None:
        return verdict
    if reply.status == HTTPStatus.NOT_FOUND and _is_unknown_signal(reply):
        return NeverSeen()
    if reply.status == HTTPStatus.OK:
        return _judge_execution(reply, told_later=True)
    raise Uncertain(f"read back: {_reason(reply)}")


def _not_now(reply: Reply, wall_time: float) -> Blocked | RetryAfter | None:
    match reply.status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return Blocked(reason=_reason(reply))
        case HTTPStatus.TOO_MANY_REQUESTS:
            return RetryAfter(reason=_reason(reply), seconds=_seconds(reply.retry_after, wall_time))
        case HTTPStatus.SERVICE_UNAVAILABLE if reply.retry_after is not None:
            return RetryAfter(reason=_reason(reply), seconds=_seconds(reply.retry_after, wall_time))
    return None


def _judge_refusal(reply: Reply, wall_time: float) -> Rejected | InProgress:
    if reply.status == HTTPStatus.CONFLICT:
        if reply.flaw is not None:
            raise Uncertain(_reason(reply))
        if says_in_progress(reply.body):
            return InProgress(seconds=_seconds(reply.retry_after, wall_time))
    return Rejected(
        reason=_reason(reply),
        stop_session=reply.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
        and says_session_is_gone(reply.body),
        settles=reply.status in SPOKEN_BY_THE_GATEWAY or is_json_object(reply.body),
    )


def _judge_execution(reply: Reply, *, told_later: bool = False) -> Executed | Rejected:
    """Read a 2xx. Only one that is `told_later` may hold an earlier refusal without saying `rejected`."""
    if reply.flaw is not None:
        raise Uncertain(_reason(reply))
    try:
        body = _decode_execution(reply.body)
    except (ValueError, RecursionError) as error:
        raise Uncertain(f"http_{reply.status}: unreadable body") from error
    status = (body.status or _unsaid(reply.status)).lower()
    if status == "rejected" or (told_later and body.error and body.status is None):
        return Rejected(reason=_reason(reply), stop_session=says_session_is_gone(reply.body))
    if status not in {"filled", "accepted"} or body.error or body.success is False:
        raise Uncertain(f"http_{reply.status}: the body does not say what became of the signal")
    if body.filled_price == 0 and body.filled_quantity != 0:
        raise Uncertain(f"http_{reply.status}: filled at a price of 0")
    return Executed(
        status="filled" if status == "filled" else "accepted",
        order_id=str(body.order_id) if isinstance(body.order_id, str | int) else None,
        filled_quantity=body.filled_quantity,
        filled_price=body.filled_price or None,
        balance=_amount(body.balance),
        fee=_fee(body.fee),
    )


def _fee(said: object) -> float:
    fee = _amount(said) or 0.0
    return fee if 0.0 <= fee <= LARGEST_AMOUNT else 0.0


def _unsaid(status: int) -> str:
    """Name the state of an order whose answer has no `status`: 202 means taken, not done."""
    return "accepted" if status == HTTPStatus.ACCEPTED else "filled"


def _amount(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _is_unknown_signal(reply: Reply) -> bool:
    return is_json_object(reply.body) and msgspec.json.decode(reply.body).get("error") == "unknown_signal"


def _reason(reply: Reply) -> str:
    """Say why, by the gateway's own code or words where it is the gateway that speaks."""
    if reply.flaw is not None:
        return f"http_{reply.status}: {reply.flaw}"
    told = explain(reply.body)
    if told is None:
        return f"http_{reply.status}"
    return told if is_json_object(reply.body) else f"http_{reply.status}: {told}"


def _seconds(header: str | None, wall_time: float) -> float | None:
    """Read Retry-After: a number of seconds, or an HTTP date."""
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        return min(float(text), LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment.timestamp() - wall_time, 0.0), LONGEST_RETRY_AFTER)
