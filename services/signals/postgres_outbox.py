"""The durable outbox: a signal is a row of the table `signals` before it is a request.

`put` only adds to a queue in memory. A thread of its own writes what waits there, and gives what was written
to the courier. While PostgreSQL is away signals wait in memory, up to the capacity; none is sent without
its row. Every row that is unfinished at start counts as possibly sent: to know better, each signal would
wait for a second write before its request.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from models.signal import Signal, SignalStatus
from services.db_client import Database
from services.signals.fence import Fence, Unfenced
from services.signals.left_behind import LeftBehind
from services.signals.marks import Marks
from services.signals.outbox import MemoryOutbox, OutboxEntry
from services.signals.outbox_writer import OutboxWriter
from services.signals.outcome import Outcome
from services.signals.recorded import Recorded
from services.signals.signal_rows import FoundRow
from services.signals.signal_table import SignalTable


class PostgresOutbox:
    """An outbox in the table `signals`. Holds at most `capacity` signals that have not ended.

    `database` is for this outbox alone, of one connection: it is closed by `stop`.
    """

    def __init__(
        self,
        database: Database,
        capacity: int,
        ttl_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        fence: Fence | None = None,
    ) -> None:
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._memory = MemoryOutbox(capacity, ttl_seconds, clock, fence)
        self._recorded = Recorded()
        self._marks = Marks()
        self._writer = OutboxWriter(
            LeftBehind(SignalTable(database), fence or Unfenced()),
            self._memory,
            self._marks,
            self._recorded,
            self._restore,
        )

    def start(self) -> None:
        """Begin to write, what is found unfinished being given first."""
        self._writer.start()

    def stop(self, deadline: float) -> frozenset[str]:
        """Write what is not written yet, close the connection; return at `deadline` at the latest.

        Returns the ids of the signals that have no row.
        """
        self._writer.stop(deadline)
        left = {entry.signal.signal_id for entry in self._memory.unfinished()}
        return frozenset(signal_id for signal_id in left if signal_id not in self._recorded)

    def put(self, signal: Signal, received_at: float, settled: Outcome | None = None) -> str | None:
        """Have a signal written; return `outbox_full` or `duplicate_signal` if it is refused, else None."""
        return self._memory.put(signal, received_at, settled)

    def wait(self, seconds: float) -> None:
        """Return when there is something to take, at a `wake`, or after that time."""
        self._recorded.wait(seconds)

    def wake(self) -> None:
        """End one `wait`, now or the next."""
        self._recorded.wake()

    def take(self) -> list[OutboxEntry]:
        """Give every entry that has its row and was not given before. For one thread at a time."""
        return self._recorded.take()

    def sending(self, entry: OutboxEntry, attempt: int) -> None:
        """Note that a request for the signal begins; written soon."""
        self._memory.sending(entry, attempt)
        self._marks.sending(entry, attempt)

    def finish(self, entry: OutboxEntry, outcome: Outcome) -> None:
        """Note the end of a signal; written soon, unless its row told it."""
        if entry.settled is None:
            self._marks.finish(entry, outcome)
        self._recorded.end(entry.signal.signal_id)
        self._memory.finish(entry, outcome)

    @property
    def reason(self) -> str | None:
        """Say why nothing is written at the moment; None when all is well."""
        return self._writer.reason

    @property
    def pending(self) -> int:
        """How many signals have not ended."""
        return self._memory.pending

    def counts(self) -> Mapping[SignalStatus, int]:
        """Return how many signals have which status now, or ended with it since the start."""
        return self._memory.counts()

    def unfinished(self) -> list[OutboxEntry]:
        """Return the entries that have not ended, in the order of `put`."""
        return self._memory.unfinished()

    def _restore(self, row: FoundRow) -> OutboxEntry:
        """Make an entry of an unfinished row: what is left of its time to live, and as much again to ask."""
        now, age = self._clock(), (datetime.now(UTC) - row.created_at).total_seconds()
        entry = OutboxEntry(
            signal=row.signal,
            received_at=now - age,
            expires_at=now + min(self._ttl_seconds - age, self._ttl_seconds),
            created_at=row.created_at,
            attempts=row.attempts,
            ask_until=now + self._ttl_seconds,
            fence=row.fence,
        )
        self._memory.restore(entry)
        return entry
