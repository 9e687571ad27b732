"""An author's code where no session contains it: timed all the same, and its errors in words."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from threading import current_thread, get_ident, main_thread
from typing import TypeVar

from models.errors import StrategyCrashed, StrategyError, StrategyTimedOut
from models.session import Lifecycle, SessionIdentity, SessionState
from services.handler_alarm import HandlerAlarm
from services.session import explain, where
from services.turn import Callee, Turn

T = TypeVar("T")


class Candidate:
    """A strategy that is being made: whose turn it is while there is no session yet."""

    def __init__(self, identity: SessionIdentity, deadline: float) -> None:
        self.identity = identity
        self.deadline = deadline

    def end(self, state: SessionState, reason: str) -> None:
        """Raise StrategyTimedOut: what was never made can only not come about."""
        raise StrategyTimedOut(f"{state.value}: {reason}")


def alarm(turn: Turn, seconds: float | None) -> AbstractContextManager[object]:
    """Interrupt calls of this turn that take longer, where that can be done: in a process's main thread."""
    if seconds is None or current_thread() is not main_thread():
        return nullcontext()
    turn.tenure.thread = get_ident()
    return HandlerAlarm(turn, seconds)


def contained(turn: Turn, callee: Callee, what: str, work: Callable[[], T]) -> T:
    """Return what `work` does, which calls an author's code. Raises StrategyError for whatever it raises.

    `what` begins its text. Where the alarm struck, that says after how long, and at which line.
    """
    try:
        try:
            turn.session, turn.event = callee, Lifecycle("start", callee.identity.started_at)
            return work()
        finally:
            turn.session = None  # what comes now must not be interrupted
    except StrategyTimedOut as error:
        turn.session = None
        told = f"{what}: a call took longer than {callee.deadline:g} s, {where(error)}"
        raise StrategyTimedOut(told) from error
    except StrategyError:
        raise
    except (Exception, SystemExit) as error:  # an author's code may raise anything
        raise StrategyCrashed(f"{what}: {explain(error)}") from error
