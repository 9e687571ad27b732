"""Which offsets of which partitions are in hand, which are done, and how far that may be committed.

Kafka knows one number per partition: everything before it is done. So a message that is done waits for those
before it. No I/O.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Partition:
    given: deque[int] = field(default_factory=deque)  # in order, from the first that is not done
    in_hand: set[int] = field(default_factory=set)
    due: int = 0
    sent: int = 0
    confirmed: int = 0


class Offsets:
    """The books of one consumer. A partition that is given up is forgotten with everything about it."""

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}

    def give(self, partition: int, offset: int) -> None:
        """Note that the caller has this message in hand."""
        book = self._partitions.setdefault(partition, _Partition())
        book.given.append(offset)
        book.in_hand.add(offset)

    def has(self, partition: int, offset: int) -> bool:
        """Whether the message is in hand, not done, and its partition was not given up since."""
        book = self._partitions.get(partition)
        return book is not None and offset in book.in_hand

    def finish(self, partition: int, offset: int) -> None:
        """Note that the message is done. Nothing happens when it is not in hand any more."""
        if book := self._partitions.get(partition):
            book.in_hand.discard(offset)
            while book.given and book.given[0] not in book.in_hand:
                book.due = book.given.popleft() + 1

    def take_due(self) -> dict[int, int]:
        """Return by partition what is to be committed and is not on its way already."""
        due = {}
        for partition, book in self._partitions.items():
            if book.due > max(book.sent, book.confirmed):
                due[partition] = book.sent = book.due
        return due

    def confirm(self, partition: int, offset: int) -> None:
        """Note that the broker knows: everything before `offset` is done."""
        if book := self._partitions.get(partition):
            book.confirmed = max(book.confirmed, offset)

    def fail(self, partition: int) -> None:
        """Note that a commit did not arrive: it is due again."""
        if book := self._partitions.get(partition):
            book.sent = 0

    def give_up(self, partitions: Iterable[int]) -> int:
        """Forget partitions that are another consumer's now; return how many messages were in hand."""
        return sum(len(book.in_hand) for each in partitions if (book := self._partitions.pop(each, None)))

    def first_in_hand(self, partition: int) -> int | None:
        """Return the first offset that is not done, or None when there is none in hand."""
        book = self._partitions.get(partition)
        return book.given[0] if book and book.given else None

    @property
    def settled(self) -> bool:
        """Whether the broker has confirmed everything that could be committed."""
        return all(book.confirmed >= book.due for book in self._partitions.values())
