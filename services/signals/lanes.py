"""One lane per session: signals of a session go one after the other, sessions do not wait for each other.

Pure scheduling, without threads, clocks or requests. The head of a lane is ready, taken, waiting for a
time, or parked (waiting for a time or for `release`). What stands behind it waits for its end. A lane
without signals is forgotten.
"""

import heapq
import math
from collections import deque

from services.signals.delivery import Delivery

STALE_TIMERS_KEPT = 64
NO_TIMER = 0


class _Lane:
    __slots__ = ("queue", "timer")

    def __init__(self) -> None:
        self.queue: deque[Delivery] = deque()
        self.timer = NO_TIMER


class Lanes:
    """All lanes, the ready ones in order of arrival, and the times that others wait for."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._ready: deque[str] = deque()
        self._parked: dict[str, None] = {}
        self._timers: list[tuple[float, int, str]] = []
        self._timers_set = NO_TIMER

    def __len__(self) -> int:
        return len(self._lanes)

    def add(self, delivery: Delivery) -> None:
        """Queue a signal behind those of its session."""
        lane = self._lanes.get(delivery.session_key)
        if lane is None:
            lane = self._lanes[delivery.session_key] = _Lane()
            self._ready.append(delivery.session_key)
        lane.queue.append(delivery)

    def take(self, now: float) -> Delivery | None:
        """Give the head that has been ready longest, or None. It is the caller's until it says what next."""
        self._wake(now)
        return self._lanes[self._ready.popleft()].queue[0] if self._ready else None

    def wait(self, delivery: Delivery, until: float) -> None:
        """Put a taken head aside until a time."""
        lane = self._lanes[delivery.session_key]
        self._timers_set += 1
        lane.timer = self._timers_set
        heapq.heappush(self._timers, (until, lane.timer, delivery.session_key))
        if len(self._timers) > 2 * len(self._lanes) + STALE_TIMERS_KEPT:
            self._timers = [timer for timer in self._timers if self._is_set(timer)]
            heapq.heapify(self._timers)

    def park(self, delivery: Delivery, until: float) -> None:
        """Put a taken head aside until a time, or until `release`, whichever comes first."""
        self.wait(delivery, until)
        self._parked[delivery.session_key] = None

    def release(self) -> None:
        """Make every parked head ready, in the order of parking."""
        for key in self._parked:
            self._lanes[key].timer = NO_TIMER
        self._ready.extend(self._parked)
        self._parked.clear()

    def finish(self, delivery: Delivery) -> None:
        """Take a taken head out for good; the next of its lane lines up behind all others."""
        key = delivery.session_key
        lane = self._lanes[key]
        lane.queue.popleft()
        if lane.queue:
            self._ready.append(key)
        else:
            del self._lanes[key]

    def followers(self, delivery: Delivery) -> list[Delivery]:
        """Return what is queued behind a head."""
        return list(self._lanes[delivery.session_key].queue)[1:]

    def next_due(self) -> float:
        """Return the time at which `take` may have more to give: -inf when now, inf when never."""
        if self._ready:
            return -math.inf
        while self._timers and not self._is_set(self._timers[0]):
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else math.inf

    def _wake(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)
            if self._is_set(timer):
                key = timer[2]
                self._lanes[key].timer = NO_TIMER
                self._parked.pop(key, None)
                self._ready.append(key)

    def _is_set(self, timer: tuple[float, int, str]) -> bool:
        lane = self._lanes.get(timer[2])
        return lane is not None and lane.timer == timer[1]
