"""The leases of this worker as it knows them itself: what is asked before every send, with no round trip."""

import time
from collections.abc import Callable, Iterable
from threading import Event

from msgspec import Struct

from models.lease import UNLEASED, Standing

# What a session decides after it was lost: below the number of every lease.
LOST_NUMBER = -1


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

    `changes` counts up whenever sessions are added, or others left signals to be found. What never had a
    lease is nobody else's, and may be sent. `wanted` are sessions to be taken soon; `news` tells of them.
    """

    def __init__(self, clock: Callable[[], float] = lease_clock) -> None:
        self.changes = 0
        self.highest = UNLEASED
        self.wanted: set[str] = set()
        self.news = Event()
        self._clock = clock
        self._held: dict[str, Holding] = {}
        self._lost: set[str] = set()

    def __contains__(self, key: str) -> bool:
        """Whether the session was given to this worker and not taken from it, as far as is known."""
        return key in self._held

    def number(self, key: str) -> int:
        """Return the fencing number under which the session decides now; UNLEASED when it never had any."""
        holding = self._held.get(key)
        if holding is None:
            return LOST_NUMBER if key in self._lost else UNLEASED
        return holding.fence

    def standing(self, key: str, number: int) -> Standing:
        """Say whether what the session decided under this number may be sent now."""
        if number == UNLEASED:
            return Standing.HELD
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

    def want(self, keys: Iterable[str]) -> None:
        """Have sessions taken soon, where nobody holds them."""
        new = set(keys) - self._held.keys() - self.wanted
        if new:
            self.wanted |= new
            self.news.set()

    def note_change(self) -> None:
        """Have everybody look again for signals to be delivered."""
        self.changes += 1

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
            self._lost.discard(key)
            self.changes += 1
        else:
            holding.fence, holding.until = fence, until

    def lose(self, key: str) -> None:
        """Note that another worker holds the session: what is decided from now on is not sent."""
        self._lost.add(key)
        self._held.pop(key, None)

    def release(self, key: str) -> None:
        """Note that the session was given back."""
        self._held.pop(key, None)

    def remember_lost(self, keys: set[str]) -> None:
        """Forget all losses but those of these sessions."""
        self._lost &= keys
