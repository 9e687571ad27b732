"""Watches over the data thread: no handler holds it up for longer than twice its deadline.

A handler past its deadline first gets StrategyTimedOut raised into it, which ends every loop in Python. If
it sits in C and does not come back, its session is quarantined and a successor of the thread goes on with the
very next session and event; the thread that is stuck finds itself retired when it returns. The handler's
session is quarantined either way: the others wait for it once.

What computes in C with the interpreter's lock stops every thread of the process, this one among them. When it
is over, `call_times.py` finds whose call it was; what has no end is ended from outside (`freezes/`).
"""

import ctypes
import time
from collections.abc import Callable
from threading import Event, Thread

import structlog

from models.errors import StrategyTimedOut
from models.session import SessionState
from services.turn import Callee, InputEvent, Turn

LOOKS_PER_DEADLINE = 10

log = structlog.get_logger(__name__)

# Looked up once: between the last check and the call nothing may run that lets another thread in.
_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_TIMED_OUT = ctypes.py_object(StrategyTimedOut)


class Supervisor:
    """Looks at the data thread's turn ten times a deadline; `take_over` starts the successor of its thread.

    `deadline` is in seconds, the one that holds where a strategy's class asks for none.
    """

    def __init__(self, turn: Turn, take_over: Callable[[], None], deadline: float) -> None:
        self._turn = turn
        self._take_over = take_over
        self._interval = deadline / LOOKS_PER_DEADLINE
        self._session: Callee | None = None
        self._event: InputEvent | None = None
        self._since = 0.0
        self._stop = Event()
        self._thread = Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        looked_at = time.monotonic()
        while not self._stop.wait(self._interval):
            now = time.monotonic()
            if now - looked_at > 3 * self._interval:
                self._session = None  # the machine held us up, so perhaps the handler too: count from now on
            looked_at = now
            try:
                self._look(now)
            except Exception:  # whatever goes wrong with one look, the next one must come
                log.exception("supervisor_failed")

    def _look(self, now: float) -> None:
        session, event = self._turn.session, self._turn.event
        if session is None or session is not self._session or event is not self._event:
            self._session, self._event, self._since = session, event, now
            return
        held_up = now - self._since
        patience = max(2 * session.deadline, session.deadline + 4 * self._interval) - 2 * self._interval
        if held_up > patience:
            self._replace(session)
        elif held_up > session.deadline:
            self._interrupt(session, event)

    def _interrupt(self, session: Callee, event: InputEvent | None) -> None:
        turn = self._turn
        thread = ctypes.c_ulong(turn.tenure.thread)
        if turn.session is session and turn.event is event:
            _raise_in_thread(thread, _TIMED_OUT)

    def _replace(self, session: Callee) -> None:
        turn = self._turn
        if turn.session is not session:
            return
        turn.tenure.retired = True
        self._session = None
        log.error("handler_does_not_return", session=session.identity.key)
        session.end(
            SessionState.QUARANTINED, f"a call took longer than {2 * session.deadline:g} s and did not return"
        )
        self._take_over()
