"""How a signal ended, once and for all."""

from typing import Literal

from msgspec import Struct

from models.execution import ExecutionReport
from models.signal import Signal, SignalStatus
from services.signals.verdict import Executed

Failure = Literal["rejected", "expired", "unknown", "refused"]


class Outcome(Struct, frozen=True, kw_only=True):
    """The end of a signal: its final status and the report for its strategy.

    `attempts` counts the requests begun to have it executed; `at` is the monotonic time of the end. After
    `stop_session` the gateway does not know the session, or it does not run there; after `halt_session`
    nobody knows what the session holds, and it waits until a person has looked. One that `is_left` is
    another worker's to find out about.
    """

    status: SignalStatus
    report: ExecutionReport
    attempts: int
    at: float
    stop_session: bool = False
    halt_session: bool = False
    is_left: bool = False


def executed(signal: Signal, answer: Executed, attempts: int, at: float) -> Outcome:
    """Report an execution; where the answer is silent, what was asked for holds."""
    report = ExecutionReport(
        signal_id=signal.signal_id,
        symbol=signal.symbol,
        action=signal.action,
        quantity=signal.quantity,
        status=answer.status,
        order_id=answer.order_id,
        filled_quantity=signal.quantity if answer.filled_quantity is None else answer.filled_quantity,
        filled_price=signal.price if answer.filled_price is None else answer.filled_price,
        balance=answer.balance,
        fee=answer.fee,
    )
    return Outcome(status=SignalStatus.EXECUTED, report=report, attempts=attempts, at=at)


def failed(signal: Signal, failure: Failure, reason: str, attempts: int, at: float) -> Outcome:
    """Report a signal of which nothing was filled, or of which nothing is known."""
    report = ExecutionReport(
        signal_id=signal.signal_id,
        symbol=signal.symbol,
        action=signal.action,
        quantity=signal.quantity,
        status=failure,
        reason=reason,
    )
    return Outcome(
        status=SignalStatus(failure),
        report=report,
        attempts=attempts,
        at=at,
        halt_session=failure == "unknown",
    )
