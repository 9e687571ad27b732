"""What is to be written of signals that have their row: the newest word of each, until it is written."""

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock

from models.signal import SignalStatus
from services.signals.outbox import OutboxEntry
from services.signals.outcome import Outcome
from services.signals.signal_rows import Mark


class Marks:
    """Marks by signal, at most one for each signal that has not ended in the table. Safe from every thread.

    A mark may be lost in a crash: then the signal is found unfinished, as one that may have been sent.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._lock = Lock()
        self._waiting: dict[str, Mark] = {}
        self._sent_at: dict[str, datetime] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def sending(self, entry: OutboxEntry, attempt: int) -> None:
        """Note that a request begins."""
        signal_id = entry.signal.signal_id
        with self._lock:
            sent_at = self._sent_at.setdefault(signal_id, self._now())
            self._waiting[signal_id] = Mark(
                signal_id=signal_id,
                fence=entry.fence,
                status=SignalStatus.SENDING,
                attempts=attempt,
                sent_at=sent_at,
            )

    def finish(self, entry: OutboxEntry, outcome: Outcome) -> None:
        """Note the end of a signal, or that it is left to another worker."""
        signal_id = entry.signal.signal_id
        if outcome.is_left:
            self._leave(entry, outcome.attempts)
            return
        with self._lock:
            self._waiting[signal_id] = Mark(
                signal_id=signal_id,
                fence=entry.fence,
                status=outcome.status,
                attempts=outcome.attempts,
                reason=outcome.report.reason,
                sent_at=self._sent_at.pop(signal_id, None),
                finished_at=self._now(),
                report=outcome.report,
            )

    def take(self, most: int) -> list[Mark]:
        """Return up to so many marks; those that could not be written are to be given back."""
        with self._lock:
            taken = [self._waiting[signal_id] for signal_id in list(self._waiting)[:most]]
            for mark in taken:
                del self._waiting[mark.signal_id]
        return taken

    def give_back(self, marks: list[Mark]) -> None:
        """Keep marks that were not written, except where there is a newer one."""
        with self._lock:
            self._waiting = {mark.signal_id: mark for mark in marks} | self._waiting

    def _leave(self, entry: OutboxEntry, attempts: int) -> None:
        signal_id = entry.signal.signal_id
        with self._lock:
            self._waiting[signal_id] = Mark(
                signal_id=signal_id,
                fence=entry.fence,
                status=SignalStatus.SENDING,
                attempts=attempts,
                sent_at=self._sent_at.pop(signal_id, None),
                is_left=True,
            )
