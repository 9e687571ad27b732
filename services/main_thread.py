"""What the main thread does while the worker works: it reads market data, and so calls the strategies.

Python runs signal handlers there alone, so only there can a handler be interrupted that computes in C; and
the signals that stop the process have to be heard somewhere else.
"""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import structlog

from services.handler_alarm import HandlerAlarm
from services.stop_signal import StopSignal

RETURN_SECONDS = 1.0

log = structlog.get_logger(__name__)


class MainThread:
    """Calls `read`, which returns once `end` was called on another thread: as soon as somebody asked to stop.

    Where a strategy's call keeps the main thread for good, a successor of it reads meanwhile, and when `end`
    is over the process ends with it.
    """

    def __init__(self, alarm: HandlerAlarm, read: Callable[[], None], end: Callable[[], int]) -> None:
        self._alarm = alarm
        self._read = read
        self._end = end
        self._is_back = Event()

    def run(self, stop: StopSignal) -> int:
        """Read until asked to stop; return the exit code, which is that of `end`."""
        stop.hear_beside()
        with ThreadPoolExecutor(1, "worker-stop") as aside, self._alarm:
            code = aside.submit(self._end_when_asked, stop)
            self._read()
            self._is_back.set()
        return code.result()

    def _end_when_asked(self, stop: StopSignal) -> int:
        stop.wait()
        code = self._end()
        if not self._is_back.wait(RETURN_SECONDS):
            log.warning("ended_with_a_call_that_does_not_return")
            logging.shutdown()
            os._exit(code)
        return code
