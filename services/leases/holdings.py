"""The leases of this worker as it knows them itself: what is asked before every send, with no round trip."""

import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from models.lease import UNLEASED, Standing


def lease_clock() -> float:
    """Return seconds that go on while the machine is suspended, where it has such a clock."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Holding(Struct):
    """One session that this worker holds, by its own clock for sure until `until`.

    `fence` is the fencing number now, `since` the first of this time that it is held: what was decided since
    then may be sent. They differ once Redis has lost its data and the lease was entered anew.
    """

    fence: int
    since: int
    until: float


class Holdings:
    """Which sessions this worker holds. Written by the lease keeper, read by everybody without a lock.

    `changes` counts up whenever sessions are added.
    """

    def __init__(self, clock: Callable[[], float] = lease_clock) -> None:
        self.changes = 0
        self.highest = UNLEASED
        self._clock = clock
        self._held: dict[str, Holding] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, key: str) -> bool:
        """Whether the session was given to this worker and not taken from it, as far as is known."""
        return key in self._held

    def number(self, key: str) -> int:
        """Return the fencing number under which the session decides now; UNLEASED when it is not held."""
        holding = self._held.get(key)
        return UNLEASED if holding is None else holding.fence

    def standing(self, key: str, number: int) -> Standing:
        """Say whether what the session decided under this number may be sent now."""
        holding = self._held.get(key)
        if holding is None or number < holding.since:
            return Standing.LOST
        return Standing.HELD if self._clock() < holding.until else Standing.UNCONFIRMED

    def confirmed(self, keys: Iterable[str]) -> dict[str, int]:
        """Return the numbers of those of these sessions that are surely held now."""
        now, held = self._clock(), {}
        for key in keys:
            holding = self._held.get(key)
            if holding is not None and now < holding.until:
                held[key] = holding.fence
        return held

    def keys(self) -> list[str]:
        """Return every session that is held."""
        return list(self._held)

    def since(self) -> list[tuple[str, int]]:
        """Return every session that is held with the first number of this time."""
        return [(key, holding.since) for key, holding in list(self._held.items())]

    def hold(self, key: str, fence: int, since: int, until: float) -> None:
        """Note that Redis has given this session, or confirmed it: for sure until this moment."""
        self.highest = max(self.highest, fence)
        holding = self._held.get(key)
        if holding is None:
            self._held[key] = Holding(fence, since, until)
            self.changes += 1
        else:
            holding.fence, holding.until = fence, until

    def drop(self, key: str) -> None:
        """Note that the session is not held any more."""
        self._held.pop(key, None)
