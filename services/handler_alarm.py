"""Interrupts a handler from within its own thread, even in C code that keeps the interpreter's lock.

C code that may take long, as a regular expression, a sleep or the wait for a lock, asks whether a signal has
come and what its handler says; but only the main thread is ever asked. So the worker reads market data
there, and a timer of the kernel's, which needs no lock, rings while it does.
"""

import signal
from threading import get_ident
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

from models.errors import StrategyTimedOut
from services.call_watch import CallWatch
from services.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable


class HandlerAlarm:
    """Raises StrategyTimedOut in the main thread, while it is the one that calls, past a call's deadline.

    Enter and leave it in the main thread. It takes SIGALRM meanwhile; a strategy that takes it back only
    loses this way of being interrupted. `deadline` is in seconds, where a strategy's class asks for none.
    """

    def __init__(self, turn: Turn, deadline: float) -> None:
        self._turn = turn
        self._watch = CallWatch(turn, deadline)
        self._timer = (0.0, 0.0)
        self._handler: Callable[..., object] | int | None = None

    def __enter__(self) -> Self:
        self._handler = signal.signal(signal.SIGALRM, self._ring)
        self._timer = signal.setitimer(signal.ITIMER_REAL, self._watch.interval, self._watch.interval)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: object, _where: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        # One that rang already must not end the process.
        signal.signal(signal.SIGALRM, self._handler if callable(self._handler) else signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, *self._timer)

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        held_up = self._watch.look()
        session = self._watch.session
        if session is None or held_up <= session.deadline:
            return
        if self._turn.tenure.thread == get_ident():  # else a successor calls, and its supervisor sees to that
            raise StrategyTimedOut
