"""The OMS's end of one stream: what the exchange has to say there, for the thread that says it."""

from collections.abc import Iterator
from enum import Enum, auto
from queue import SimpleQueue

from services.oms.protocol import OrderResponse


class Last(Enum):
    """Why a stream ends."""

    FINISHED = auto()
    GONE = auto()
    DROPPED = auto()


class FarEnd:
    """Everything said to one client, in order. Any thread may say; one iterates.

    `unanswered` and `complete` are the exchange's own: the orders it owes an answer on this stream, and
    whether the client sends no more.
    """

    def __init__(self) -> None:
        self.unanswered: set[str] = set()
        self.complete = False
        self.last: Last | None = None
        self._said: SimpleQueue[OrderResponse | Last] = SimpleQueue()

    def say(self, answer: OrderResponse) -> None:
        """Say something, unless the stream has ended."""
        self._said.put(answer)

    def end(self, last: Last) -> None:
        """End the stream after what was said until now."""
        self._said.put(last)

    def answers(self) -> Iterator[OrderResponse]:
        """Wait for what is said until the stream is to end."""
        while not isinstance(said := self._said.get(), Last):
            yield said
        self.last = said
