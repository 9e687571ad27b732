"""How much the intake takes at once, and when it has done enough."""

import time
from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

GRACE_SECONDS = 30.0


class Ending(StrEnum):
    """Why the consumer ended."""

    STOPPED = "stopped"
    IDLE = "idle"
    TIME_UP = "time_up"
    UNREACHABLE = "unreachable"
    FAILED = "failed"

    @property
    def fine(self) -> bool:
        """Whether nothing was left undone for a reason that somebody must see to."""
        return self not in {Ending.UNREACHABLE, Ending.FAILED}


class Pace(Struct, frozen=True, kw_only=True):
    """How much at once and for how long; seconds. Without `until_idle` and `max_seconds` for ever."""

    batch_size: int = 1000
    batch_seconds: float = 30.0
    max_retries: int = 3
    until_idle: float | None = None
    max_seconds: float | None = None


class Vigil:
    """Watches over the end of a consumer that does not run for ever.

    It is idle when its source was fine and gave nothing for `until_idle`, and unreachable when the source was
    not fine for as long, but at least for 30 s: brokers take a while to let a consumer in.
    """

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace = pace
        self._clock = clock
        self._started_at = self._fine_at = clock()
        self._quiet_since: float | None = None

    def heard(self) -> None:
        """Note that there were messages."""
        self._quiet_since = self._fine_at = self._clock()

    def ending(self, reason: str | None) -> Ending | None:
        """Return why to end, or None; `reason` is why the source cannot be read now."""
        now = self._clock()
        if reason is None:
            self._fine_at = now
            self._quiet_since = now if self._quiet_since is None else self._quiet_since
        else:
            self._quiet_since = None
        limit, idle = self._pace.max_seconds, self._pace.until_idle
        if limit is not None and now - self._started_at >= limit:
            return Ending.TIME_UP if reason is None else Ending.UNREACHABLE
        if idle is None:
            return None
        if self._quiet_since is not None:
            return Ending.IDLE if now - self._quiet_since >= idle else None
        return Ending.UNREACHABLE if now - self._fine_at >= max(idle, GRACE_SECONDS) else None

    def gather_seconds(self) -> float:
        """Return how long a batch may be gathered without passing the end."""
        left = (
            self._pace.batch_seconds
            if self._pace.max_seconds is None
            else self._started_at + self._pace.max_seconds - self._clock()
        )
        idle = self._pace.batch_seconds if self._pace.until_idle is None else self._pace.until_idle
        return max(0.0, min(self._pace.batch_seconds, left, idle))
