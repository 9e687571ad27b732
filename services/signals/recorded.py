"""The entries that have their row: given to the courier, and remembered until they end."""

from collections import deque

from services.signals.bell import Bell
from services.signals.outbox import OutboxEntry


class Recorded:
    """A queue between the thread that writes rows and those that send. Safe from every thread."""

    def __init__(self) -> None:
        self._bell = Bell()
        self._waiting: deque[OutboxEntry] = deque()
        self._open: set[str] = set()

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, signal_id: str) -> bool:
        """Whether a signal was given and has not ended."""
        return signal_id in self._open

    def give(self, entries: list[OutboxEntry]) -> None:
        """Queue entries for the courier."""
        self._open.update(entry.signal.signal_id for entry in entries)
        self._waiting.extend(entries)
        self._bell.ring()

    def take(self) -> list[OutboxEntry]:
        """Return every entry not returned before, in order."""
        taken = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        return taken

    def end(self, signal_id: str) -> None:
        """Forget a signal that has ended."""
        self._open.discard(signal_id)

    def wait(self, seconds: float) -> None:
        """Return when entries are given, at a `wake`, or after that time."""
        self._bell.wait(seconds)

    def wake(self) -> None:
        """End one `wait`, now or the next."""
        self._bell.ring()
