"""Watches over the data thread: no handler holds it up for longer than twice its deadline.

A handler past its deadline first gets StrategyTimedOut raised into it, which ends every loop in Python. If
it sits in C and does not come back, its session is quarantined and a successor of the thread goes on with the
very next session and event; the thread that is stuck finds itself retired when it returns. The handler's
session is quarantined either way: the others wait for it once.

What computes in C with the interpreter's lock stops every thread of the process, this one among them. Where
it looks for signals, `handler_alarm.py` ends it; when it is over, `call_times.py` finds whose call it was;
what does neither is ended from outside (`freezes/`).
"""

import ctypes
from collections.abc import Callable
from threading import Event, Thread

import structlog

from models.errors import StrategyTimedOut
from models.session import SessionState
from services.allocation_limit import AllocationLimit
from services.call_watch import CallWatch
from services.turn import Callee, Turn

log = structlog.get_logger(__name__)

# Looked up once: between the last check and the call nothing may run that lets another thread in.
_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_TIMED_OUT = ctypes.py_object(StrategyTimedOut)


class Supervisor:
    """Looks at the data thread's turn ten times a deadline; `take_over` starts the successor of its thread.

    `deadline` is in seconds, the one that holds where a strategy's class asks for none. At each look `memory`
    follows what the process has.
    """

    def __init__(
        self, turn: Turn, take_over: Callable[[], None], deadline: float, memory: AllocationLimit
    ) -> None:
        self._turn = turn
        self._take_over = take_over
        self._watch = CallWatch(turn, deadline)
        self._memory = memory
        self._stop = Event()
        self._thread = Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._memory.start()
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        self._memory.stop()

    def _run(self) -> None:
        while not self._stop.wait(self._watch.interval):
            try:
                self._memory.follow()
                self._look()
            except Exception:  # whatever goes wrong with one look, the next one must come
                log.exception("supervisor_failed")

    def _look(self) -> None:
        held_up = self._watch.look()
        session = self._watch.session
        if session is None:
            return
        looks = self._watch.interval
        patience = max(2 * session.deadline, session.deadline + 4 * looks) - 2 * looks
        if held_up > patience:
            self._replace(session)
        elif held_up > session.deadline:
            self._interrupt()

    def _interrupt(self) -> None:
        thread = ctypes.c_ulong(self._turn.tenure.thread)
        if self._watch.is_still():
            _raise_in_thread(thread, _TIMED_OUT)

    def _replace(self, session: Callee) -> None:
        turn = self._turn
        if turn.session is not session:
            return
        turn.tenure.retired = True
        log.error("handler_does_not_return", session=session.identity.key)
        session.end(
            SessionState.QUARANTINED, f"a call took longer than {2 * session.deadline:g} s and did not return"
        )
        self._take_over()
