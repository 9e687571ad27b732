"""Hosts that have answered no market data yet: their first calls come one after the other.

Nobody knows how long those take. Where many sessions of code that misbehaves begin at once, all processors
would be theirs until each was seen to compute for long.
"""

import os
from itertools import islice
from typing import Generic, TypeVar

PATIENCE_SECONDS = 0.01

Talk = TypeVar("Talk")


class Newcomers(Generic[Talk]):
    """Lets `at_once` of them answer, each for up to PATIENCE_SECONDS; by default all processors but one.

    Whoever takes longer goes on, and no longer keeps others from beginning. For one thread; `now` is in
    monotonic seconds.
    """

    def __init__(self, at_once: int | None = None) -> None:
        self._at_once = at_once or max(1, len(os.sched_getaffinity(0)) - 1)
        self._answering: dict[Talk, float] = {}
        self._waiting: dict[Talk, None] = {}

    def __bool__(self) -> bool:
        """Whether anybody answers or waits."""
        return bool(self._answering or self._waiting)

    def may_begin(self, talk: Talk, now: float) -> bool:
        """Tell whether a newcomer may be told something now; if not, it waits to be among the `next`."""
        if talk not in self._answering:
            self._waiting[talk] = None
            if talk not in self.next(now):
                return False
            del self._waiting[talk]
            self._answering[talk] = now
        return True

    def leave(self, talk: Talk) -> None:
        """Note that it has answered, or ended."""
        self._answering.pop(talk, None)
        self._waiting.pop(talk, None)

    def next(self, now: float) -> list[Talk]:
        """Return who may begin now, of those who wait; in the order in which they came."""
        for talk in [each for each, since in self._answering.items() if now - since > PATIENCE_SECONDS]:
            del self._answering[talk]
        return list(islice(self._waiting, self._at_once - len(self._answering)))
