"""A thread for what takes a while and is due at some time: processes that start again, rows to be written."""

import heapq
import itertools
import time
from collections.abc import Callable
from threading import Condition, Thread

import structlog

log = structlog.get_logger(__name__)


class Nurse:
    """Does one thing after the other, each when it is due. Safe from every thread."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._last_apart = 0.0
        self._changed = Condition()
        self._stopping = False
        self._thread = Thread(target=self._run, name="sandbox-nurse", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread; what is not due yet is left undone."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def do(self, function: Callable[[], None], after: float = 0.0, *, apart: float = 0.0) -> None:
        """Have a function called in so many seconds; `apart` from the last one that was to be, or more."""
        with self._changed:
            due = time.monotonic() + after
            if apart:
                due = self._last_apart = max(due, self._last_apart + apart)
            heapq.heappush(self._due, (due, next(self._numbers), function))
            self._changed.notify()

    def _run(self) -> None:
        while (function := self._next()) is not None:
            try:
                function()
            except Exception:  # one session's process must not keep those of others from starting
                log.exception("sandbox_nurse_failed")

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while True:
                if self._stopping:
                    return None
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait)
