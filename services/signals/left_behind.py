"""Rows that nobody delivers any more, and which of them this worker may take over."""

import math
import time

from services.signals.fence import Fence
from services.signals.signal_table import NOBODY, SignalTable

# Seconds between looks, and how long a run that seems gone may still be connecting again.
SEARCH_SECONDS = 5.0
PATIENCE_SECONDS = 0.9 * SEARCH_SECONDS
# A change of leases is looked into sooner, but no more often than this; where a session was asked for it is
# likely to come within the second number.
SOONEST_SECONDS = 0.05
EXPECTED_SECONDS = 1.0


class LeftBehind:
    """Looks for runs that are gone: at once when this worker starts, later with a second look at each.

    A row goes to the worker that holds its session. Where nobody does, this one asks for it. For one thread.
    """

    def __init__(self, table: SignalTable, fence: Fence) -> None:
        self.table = table
        self._fence = fence
        self._looked_at = self._asked_at = -math.inf
        self._changes = fence.changes
        self._connections: int | None = None
        self._suspects: dict[int, float] = {}

    def is_due(self) -> bool:
        """Whether it is time to look."""
        wait = SEARCH_SECONDS if self._fence.changes == self._changes else SOONEST_SECONDS
        return time.monotonic() >= self._looked_at + wait

    def is_soon_due(self) -> bool:
        """Whether it may be time to look within a moment."""
        is_expected = time.monotonic() < self._asked_at + EXPECTED_SECONDS
        return is_expected or self._fence.changes != self._changes

    def find(self) -> tuple[set[int], dict[str, int]]:
        """Return runs that are gone, and the sessions of theirs that this worker holds, with their numbers.

        Look again, until `looked` was called, where what follows fails.
        """
        changes, now = self._fence.changes, time.monotonic()
        free = self.table.abandoned()
        if self._connections is None:
            self._suspects = dict.fromkeys(free, -math.inf)
        elif self._connections != self.table.connections:
            self._suspects = {}  # after a restart of the server it takes a moment until all are locked again
        self._connections, self._changes = self.table.connections, changes
        self._suspects = {run: self._suspects.get(run, now) for run in free}
        gone = {
            run for run, since in self._suspects.items() if run == NOBODY or now >= since + PATIENCE_SECONDS
        }
        sessions = set[str]().union(*(free[run] for run in gone))
        held = self._fence.confirmed(sessions)
        if missing := sessions - held.keys():
            self._fence.want(missing)
            self._asked_at = now
        return gone, held

    def look_again(self) -> None:
        """Make it time to look."""
        self._looked_at = -math.inf

    def looked(self) -> None:
        """Wait until it is time again: what was found is taken care of."""
        self._looked_at = time.monotonic()
