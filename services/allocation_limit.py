"""Refuses memory that somebody wants in one step, where getting it would hold up everybody.

Python gets a large list's memory while it keeps the interpreter's lock, and the kernel has to clear each page
of it: a gigabyte takes a second. No deadline helps, because nothing runs that could look at a clock.
"""

import os
import resource
from pathlib import Path

import structlog

TAKEN = Path("/proc/self/statm")
TAKEN_FIELD = 5  # data and stack, in pages
TAKEN_BYTES = 128
SLACK_PARTS = 16

log = structlog.get_logger(__name__)


class AllocationLimit:
    """Keeps the kernel's limit of this process's data `step_bytes` above what it has; 0 for no limit.

    So what is asked for at once beyond that is a MemoryError, immediately, and what grows step by step has no
    limit. Where there is no /proc there is none at all. A lower one from outside stays as it is.
    """

    def __init__(self, step_bytes: int) -> None:
        self._step = step_bytes
        self._before, self._most = resource.getrlimit(resource.RLIMIT_DATA)
        self._limit = 0
        self._source = -1

    def start(self) -> None:
        """Set the limit, which `follow` then keeps."""
        if self._step and TAKEN.exists():
            self._source = os.open(TAKEN, os.O_RDONLY | os.O_CLOEXEC)
            self.follow()

    def follow(self) -> None:
        """Have the limit follow what the process has taken by now. Costs a system call, seldom two."""
        if self._source < 0:
            return
        pages = int(os.pread(self._source, TAKEN_BYTES, 0).split()[TAKEN_FIELD])
        limit = pages * resource.getpagesize() + self._step
        if abs(limit - self._limit) * SLACK_PARTS > self._step:
            self._set(limit)

    def stop(self) -> None:
        """Lift the limit."""
        if self._source >= 0:
            os.close(self._source)
            self._source = -1
            resource.setrlimit(resource.RLIMIT_DATA, (self._before, self._most))

    def _set(self, limit: int) -> None:
        bounds = [each for each in (self._before, self._most) if each != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min(limit, *bounds) if bounds else limit, self._most))
        self._limit = limit
