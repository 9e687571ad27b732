"""The interpreter's collector of cycles, kept from holding anybody up.

It stops every thread while it looks. By itself it looks at everything as soon as so much has come that stays,
which where thousands of sessions remember their last events is every few seconds, for tens of milliseconds.
"""

import gc
import time
from threading import Event, Thread

# What comes and goes is looked at as often as that; at everything never, but by the thread.
COLLECT_AFTER = (1_000, 5, 1_000_000)
LEAST_SECONDS, MOST_SECONDS = 60.0, 900.0
SHARE = 2_000


class Collector:
    """Has what is there at the start looked at no more, and the rest once in `least_seconds` or more.

    Every lost connection and every ended session leaves cycles behind, so that somebody has to look; but one
    second in two thousand is enough to spend on it, as long as that is once in MOST_SECONDS.
    """

    def __init__(self, least_seconds: float = LEAST_SECONDS) -> None:
        self._least_seconds = least_seconds
        self._stop = Event()
        self._thread = Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        """Take what is here as what stays, and begin to look at what comes."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def pause(self, took: float) -> float:
        """Return for how many seconds not to look after a look that computed for so many."""
        return max(self._least_seconds, min(SHARE * took, MOST_SECONDS))

    def _run(self) -> None:
        took = 0.0
        while not self._stop.wait(self.pause(took)):
            began = time.thread_time()
            gc.collect()
            took = time.thread_time() - began
