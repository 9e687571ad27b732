"""What an answer of the gateway means, as a function of the answer alone.

This is the table of outcomes, row by row. An answer that settles nothing is raised as `Uncertain`: the
order may or may not exist. What never became an answer (refused connections, timeouts) is told apart by
the gateway client, which raises `NotSent` or `Uncertain` itself.
"""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from models.errors import Uncertain
from services.signals.explanation import explain, is_json_object, says_in_progress, says_session_is_gone

LONGEST_RETRY_AFTER = 3600.0
# What only the gateway itself says about a signal; a proxy before it says other things, in HTML.
SPOKEN_BY_THE_GATEWAY = {400, 409, 410, 422}


class Reply(Struct, frozen=True, kw_only=True):
    """An HTTP answer, as far as it could be read.

    `retry_after` is the header as it came. `flaw` says why `body` is not the whole body: too long, cut
    short, not decodable.
    """

    status: int
    body: bytes = b""
    retry_after: str | None = None
    flaw: str | None = None


class Executed(Struct, frozen=True, kw_only=True):
    """The gateway took the order. None means that it did not say: then what was asked for holds."""

    status: Literal["filled", "accepted"]
    order_id: str | None = None
    filled_quantity: float | None = None
    filled_price: float | None = None
    balance: float | None = None


class Rejected(Struct, frozen=True, kw_only=True):
    """A final no.

    `settles` is false where something in front of the gateway may have answered: that ends a signal that
    was surely not executed before, but tells nothing about an earlier attempt.
    """

    reason: str
    stop_session: bool = False
    settles: bool = True


class Blocked(Struct, frozen=True, kw_only=True):
    """The gateway does not accept our credentials: nothing that we send will be executed."""

    reason: str


class RetryAfter(Struct, frozen=True, kw_only=True):
    """Not taken now. `seconds` is what the gateway asked for; None leaves the wait to the sender."""

    reason: str
    seconds: float | None


class InProgress(Struct, frozen=True, kw_only=True):
    """The same signal is being worked on: the answer comes to a later attempt with the same id."""

    seconds: float | None


class NeverSeen(Struct, frozen=True):
    """Read back: the gateway does not know the signal, so it can be sent again."""


Verdict = Executed | Rejected | Blocked | RetryAfter | InProgress | NeverSeen


class _Execution(Struct, rename="camel"):
    """The body of an execution. What only informs may be of any type; what is booked may not."""

    status: str | None = None
    filled_quantity: Annotated[float, Meta(ge=0)] | None = None
    filled_price: Annotated[float, Meta(ge=0)] | None = None
    order_id: Any = None
    balance: Any = None
    success: Any = None
    error: Any = None


_decode_execution = msgspec.json.Decoder(_Execution).decode


def judge(reply: Reply, wall_time: float) -> Verdict:
    """Say what the answer to `POST /internal/execute` means; `wall_time` is the Unix time now.

    Raises Uncertain where the signal may have been executed and the answer does not tell.
    """
    status = reply.status
    if 200 <= status < 300:  # noqa: PLR2004 — the classes of HTTP
        return _judge_execution(reply)
    if (verdict := _not_now(reply, wall_time)) is not None:
        return verdict
    if status < 200 or status >= 500:  # noqa: PLR2004
        raise Uncertain(_reason(reply))
    if status < 400:  # noqa: PLR2004
        return Rejected(
            reason=f"redirect_{status}: GATEWAY_URL does not name the gateway itself", settles=False
        )
    if status == 409:  # noqa: PLR2004
        if reply.flaw is not None:
            raise Uncertain(_reason(reply))
        if says_in_progress(reply.body):
            return InProgress(seconds=_seconds(reply.retry_after, wall_time))
    return Rejected(
        reason=_reason(reply),
        stop_session=status in {404, 410} and says_session_is_gone(reply.body),
        settles=status in SPOKEN_BY_THE_GATEWAY or is_json_object(reply.body),
    )


def judge_read_back(reply: Reply, wall_time: float) -> Verdict:
    """Say what the answer to `GET /internal/executions/{signalId}` means.

    Raises Uncertain where the fate of the signal is still unknown.
    """
    if reply.status == 200:  # noqa: PLR2004
        return _judge_execution(reply)
    if reply.status == 404 and _is_unknown_signal(reply.body):  # noqa: PLR2004
        return NeverSeen()
    if (verdict := _not_now(reply, wall_time)) is not None:
        return verdict
    raise Uncertain(f"read back: {_reason(reply)}")


def _not_now(reply: Reply, wall_time: float) -> Blocked | RetryAfter | None:
    if reply.status in {401, 403}:
        return Blocked(reason=_reason(reply))
    if reply.status == 429 or (reply.status == 503 and reply.retry_after is not None):  # noqa: PLR2004
        return RetryAfter(reason=_reason(reply), seconds=_seconds(reply.retry_after, wall_time))
    return None


def _judge_execution(reply: Reply) -> Executed | Rejected:
    if reply.flaw is not None:
        raise Uncertain(_reason(reply))
    try:
        body = _decode_execution(reply.body)
    except (ValueError, RecursionError) as error:
        raise Uncertain(f"http_{reply.status}: unreadable body") from error
    status = (body.status or _unsaid(reply.status)).lower()
    if status == "rejected":
        return Rejected(reason=_reason(reply))
    if status not in {"filled", "accepted"} or body.error or body.success is False:
        raise Uncertain(f"http_{reply.status}: the body contradicts the status")
    if body.filled_price == 0 and body.filled_quantity != 0:
        raise Uncertain(f"http_{reply.status}: filled at a price of 0")
    return Executed(
        status="filled" if status == "filled" else "accepted",
        order_id=str(body.order_id) if isinstance(body.order_id, str | int) else None,
        filled_quantity=body.filled_quantity,
        filled_price=body.filled_price or None,
        balance=_balance(body.balance),
    )


def _unsaid(status: int) -> str:
    """Name the state of an order whose answer has no `status`: 202 means taken, not done."""
    return "accepted" if status == 202 else "filled"  # noqa: PLR2004


def _balance(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _is_unknown_signal(body: bytes) -> bool:
    return is_json_object(body) and msgspec.json.decode(body).get("error") == "unknown_signal"


def _reason(reply: Reply) -> str:
    told = None if reply.flaw else explain(reply.body)
    if told is None:
        return f"http_{reply.status}: {reply.flaw}" if reply.flaw else f"http_{reply.status}"
    return told if reply.status < 500 else f"http_{reply.status}: {told}"  # noqa: PLR2004


def _seconds(header: str | None, wall_time: float) -> float | None:
    """Read Retry-After: a number of seconds, or an HTTP date."""
    text = (header or "").strip()
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text):
        return min(float(text), LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment.timestamp() - wall_time, 0.0), LONGEST_RETRY_AFTER)
