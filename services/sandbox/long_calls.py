"""Calls that compute for long give way to short ones, and take turns among themselves.

A host that had one has the lowest priority for good; on an idle machine that costs it nothing. Whoever waits
for its turn is stopped, and loses no time of its budgets.
"""

import os
from collections.abc import Collection
from typing import Protocol

LONG_SECONDS = 0.005


class Host(Protocol):
    """A host whose call may have to wait for its turn."""

    def computed(self) -> float:
        """Return for how many processor seconds the call under way has computed."""

    def pause(self) -> None:
        """Stop it, unless it is stopped."""

    def resume(self) -> None:
        """Have it go on, unless it does."""

    def demote(self) -> None:
        """Have it run from now on when nobody else wants to, unless it does."""


class LongCalls:
    """Lets `at_once` long calls run, at each look the next ones; by default all processors but one."""

    def __init__(self, at_once: int | None = None) -> None:
        self._at_once = at_once or max(1, len(os.sched_getaffinity(0)) - 1)
        self._queue: list[Host] = []

    def look(self, busy: Collection[Host]) -> None:
        """Find the long calls among the hosts that are busy, and have the next ones run."""
        long = {each for each in busy if each.computed() > LONG_SECONDS}
        for each in long:
            each.demote()
        known = set(self._queue)
        for each in known - long:
            each.resume()
        queue = [*(each for each in self._queue if each in long), *(long - known)]
        running, waiting = queue[: self._at_once], queue[self._at_once :]
        for each in waiting:
            each.pause()
        for each in running:
            each.resume()
        self._queue = waiting + running
