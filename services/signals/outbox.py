"""The signals on their way: recorded before they are sent, kept until their end is known.

`Outbox` is the seam between sessions, which put signals in, and the courier, which takes them out.
`MemoryOutbox` forgets with its process; a durable one writes each signal down before `take` gives it away
and gives what it finds unfinished at start to the first `take`.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Protocol

from msgspec import Struct

from models.lease import UNLEASED
from models.signal import Signal, SignalStatus
from services.signals.bell import Bell
from services.signals.fence import Fence, Unfenced
from services.signals.outcome import Outcome

OUTBOX_FULL = "outbox_full"
DUPLICATE_SIGNAL = "duplicate_signal"
SESSION_HALTED = "session_halted"
IDS_REMEMBERED = 10_000


class OutboxEntry(Struct, frozen=True, kw_only=True):
    """A recorded signal. `received_at` (when its input event came) and `expires_at` are monotonic seconds.

    One that is found again at start may have been sent before, after so many `attempts`: until `ask_until`
    (monotonic seconds) the gateway is asked what became of it. One that is `settled` has its end already,
    and is not sent. One with a `refusal` is not sent either: asked about, if it may have been before.
    `fence` is the number of the lease under which its session decided.
    """

    signal: Signal
    received_at: float
    expires_at: float
    created_at: datetime
    attempts: int = 0
    ask_until: float | None = None
    refusal: str | None = None
    settled: Outcome | None = None
    fence: int = UNLEASED


class Outbox(Protocol):
    """Where signals wait. `put` is for sessions and never blocks; the rest is the courier's."""

    def start(self) -> None:
        """Begin to give what is recorded. Once in the life of an outbox, before the first `take`."""

    def stop(self, deadline: float) -> frozenset[str]:
        """Write down what is not yet, and return at `deadline` (monotonic seconds) at the latest.

        Returns the ids of the signals that the next start will not find.
        """

    def put(self, signal: Signal, received_at: float, settled: Outcome | None = None) -> str | None:
        """Record a signal in answer to an event of that receipt; return why it is refused, or None.

        One that is `settled` is recorded with its end, which is told like any other, and not sent.
        """

    def wait(self, seconds: float) -> None:
        """Return when there may be something to take, at a `wake`, or after that time.

        Several threads may wait; at least one of them returns.
        """

    def wake(self) -> None:
        """End one `wait`, now or the next."""

    def take(self) -> list[OutboxEntry]:
        """Give every recorded entry not given before, in the order of `put`."""

    def sending(self, entry: OutboxEntry, attempt: int) -> None:
        """Note that attempt number `attempt` (from 1) to execute the signal begins."""

    def finish(self, entry: OutboxEntry, outcome: Outcome) -> None:
        """Note the end of a signal; called once for each entry taken."""

    @property
    def reason(self) -> str | None:
        """Say why nothing is written down at the moment; None when all is well."""

    @property
    def pending(self) -> int:
        """How many signals have not ended."""

    def counts(self) -> Mapping[SignalStatus, int]:
        """Return how many signals have which status now, or ended with it since the start."""

    def unfinished(self) -> list[OutboxEntry]:
        """Return the entries that have not ended, in the order of `put`."""


class MemoryOutbox:
    """An outbox that ends with its process. Holds at most `capacity` signals that have not ended.

    `put` takes no lock and adds to its queue in one step, so that a handler that is interrupted in the
    middle of it leaves nothing half done.
    """

    reason: str | None = None

    def __init__(
        self,
        capacity: int,
        ttl_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        fence: Fence | None = None,
    ) -> None:
        self._capacity = capacity
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._fence = fence or Unfenced()
        self._arrived: deque[OutboxEntry] = deque()
        self._bell = Bell()
        self._open: dict[str, OutboxEntry] = {}
        self._sending: set[str] = set()
        self._ended: Counter[SignalStatus] = Counter()
        self._known: set[str] = set()
        self._known_in_order: deque[str] = deque()
        self._lock = Lock()

    def start(self) -> None:
        """Do nothing: what is put is there."""

    def stop(self, deadline: float) -> frozenset[str]:
        """Do nothing: there is no place to write to. Return all that have not ended."""
        del deadline
        return frozenset(entry.signal.signal_id for entry in self.unfinished())

    def put(self, signal: Signal, received_at: float, settled: Outcome | None = None) -> str | None:
        """Record a signal; return `outbox_full` or `duplicate_signal` where it is refused, else None."""
        if self.pending >= self._capacity:
            return OUTBOX_FULL
        if signal.signal_id in self._known:
            return DUPLICATE_SIGNAL
        self._remember(signal.signal_id)
        expires_at = self._clock() + self._ttl_seconds
        self._arrived.append(
            OutboxEntry(
                signal=signal,
                received_at=received_at,
                expires_at=expires_at,
                created_at=datetime.now(UTC),
                settled=settled,
                fence=self._fence.number(signal.session_key),
            )
        )
        self._bell.ring()
        return None

    def wait(self, seconds: float) -> None:
        """Return at the next `put` or `wake`, or after that time."""
        self._bell.wait(seconds)

    def wake(self) -> None:
        """End one `wait`, now or the next."""
        self._bell.ring()

    def take(self) -> list[OutboxEntry]:
        """Give every entry not given before. For one thread at a time."""
        taken = []
        while self._arrived:
            entry = self._arrived[0]
            self._open[entry.signal.signal_id] = entry
            taken.append(self._arrived.popleft())
        return taken

    def restore(self, entry: OutboxEntry) -> None:
        """Hold an entry that was found again as one that was taken."""
        with self._lock:
            self._open[entry.signal.signal_id] = entry

    def sending(self, entry: OutboxEntry, attempt: int) -> None:  # noqa: ARG002 — a durable outbox writes it down
        """Note that a request for the signal begins."""
        with self._lock:
            self._sending.add(entry.signal.signal_id)

    def finish(self, entry: OutboxEntry, outcome: Outcome) -> None:
        """Note the end of a signal."""
        with self._lock:
            self._sending.discard(entry.signal.signal_id)
            self._open.pop(entry.signal.signal_id, None)
            self._ended[outcome.status] += not outcome.report.told_before

    @property
    def pending(self) -> int:
        """How many signals have not ended."""
        return len(self._arrived) + len(self._open)

    def counts(self) -> Mapping[SignalStatus, int]:
        """Return how many signals have which status now, or ended with it since the start."""
        with self._lock:
            sending = len(self._sending)
            return {
                **self._ended,
                SignalStatus.SENDING: sending,
                SignalStatus.PENDING: max(self.pending - sending, 0),
            }

    def unfinished(self) -> list[OutboxEntry]:
        """Return the entries that have not ended, in the order of `put`."""
        with self._lock:
            return [*self._open.copy().values(), *self._arrived.copy()]

    def _remember(self, signal_id: str) -> None:
        self._known.add(signal_id)
        self._known_in_order.append(signal_id)
        if len(self._known_in_order) > self._capacity + IDS_REMEMBERED:
            self._known.discard(self._known_in_order.popleft())
