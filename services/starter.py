"""Starts strategies on a thread of their own, so that a start that never ends holds up nobody for long."""

import ctypes
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Thread, get_ident
from typing import Any, Generic, TypeVar

from models.errors import StrategyTimedOut

T = TypeVar("T")

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc


class Starter:
    """Runs one piece of work at a time for one caller, each within `deadline` seconds.

    A start may take longer than a handler, because no market data waits for it.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._thread: _StarterThread | None = None

    def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, or raise what it raises; StrategyTimedOut when it takes too long.

        A thread that is held up is interrupted and given up: the next piece of work gets another one.
        """
        if self._thread is None:
            self._thread = _StarterThread()
        job = _Job(work)
        self._thread.jobs.put(job)
        if not job.done.wait(self._deadline):
            self._thread.interrupt()
            self._thread = None
            raise StrategyTimedOut(f"the start took longer than {self._deadline:g} s")
        return job.result()

    def close(self) -> None:
        """End the thread, once it is idle."""
        if self._thread is not None:
            self._thread.jobs.put(None)
            self._thread = None


class _Job(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self.done = Event()
        self._work = work
        self._value: T
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._value = self._work()
        except BaseException as error:  # noqa: BLE001 — an author's code: raised again where it is waited for
            self._error = error
        self.done.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value


class _StarterThread:
    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._ident = 0
        self._started = Event()
        Thread(target=self._run, name="starter", daemon=True).start()
        self._started.wait()

    def interrupt(self) -> None:
        """Raise StrategyTimedOut in the thread, and let it end afterwards."""
        self.jobs.put(None)
        _raise_in_thread(ctypes.c_ulong(self._ident), ctypes.py_object(StrategyTimedOut))

    def _run(self) -> None:
        self._ident = get_ident()
        self._started.set()
        try:
            while (job := self.jobs.get()) is not None:
                job.run()
        except StrategyTimedOut:
            return  # came when the work had just ended; this thread was given up anyway
