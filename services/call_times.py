"""Finds the session whose call held up every thread: code in C that computes with the interpreter's lock.

While such a call lasts the supervisor does not run, and afterwards it cannot tell whether a handler computed
or the machine stood still. The thread that made the call can: its own processor time says so.
"""

from collections.abc import Iterator
from time import monotonic, thread_time

import structlog

from models.errors import StrategyTimedOut
from services.session import ENDED, Session
from services.turn import Turn

log = structlog.get_logger(__name__)


class CallTimes:
    """Judges the calls that this thread makes one after the other, from now on.

    Each costs a reading of the clock; processor time, eight times as dear, is only read after one too long.
    """

    __slots__ = ("_began_at", "_called_at", "_computed")

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Count the next call from now on."""
        self._began_at = self._called_at = monotonic()
        self._computed = thread_time()

    def called(self, session: Session) -> None:
        """Quarantine a session whose call, just over, computed for longer than its deadline.

        No call before it can have computed for longer than it took, so the rest is this one's for certain.
        """
        now = monotonic()
        if now - self._called_at <= session.deadline:
            self._called_at = now
            return
        computed = thread_time() - self._computed - (self._called_at - self._began_at)
        if computed > session.deadline and session.state not in ENDED:
            log.error(
                "handler_held_up_every_thread", session=session.identity.key, seconds=round(computed, 3)
            )
            session.failed(StrategyTimedOut())
        self.restart()


class TimedCalls:
    """Gives sessions to `deliver_bar` or `deliver_trade` one by one, and judges the call of each.

    An interruption that comes too late for its call may strike here, but only before `turn.session` is taken
    back, when no session has been taken that could be lost.
    """

    __slots__ = ("_called", "_sessions", "_times", "_turn")

    def __init__(self, sessions: Iterator[Session], turn: Turn) -> None:
        self._sessions = sessions
        self._turn = turn
        self._called: Session | None = None
        self._times = CallTimes()

    def __iter__(self) -> Iterator[Session]:
        return self

    def __next__(self) -> Session:
        self._turn.session = None
        called, self._called = self._called, None
        if called is not None:
            self._times.called(called)
        self._called = next(self._sessions)
        return self._called
