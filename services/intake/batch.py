"""One batch of messages on its way into the catalogue: what was read from it, and how far it has come."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from models.errors import DecodeError
from services.intake.discovered import DiscoveredReader
from services.intake.messages import Message
from services.intake.repository import BulkResult, Staged

if TYPE_CHECKING:
    from concurrent.futures import Future

    from models.discovered import DiscoveredStrategy

SUSPECT_DELIVERIES = 5
MOST_DELIVERIES = 50


class Refused(NamedTuple):
    """A message that is not taken: the kind of check that it failed, and what a person should know."""

    message: Message
    reason: str
    detail: str


class Batch:
    """Messages, the strategies in them as they are stored, and those that were refused.

    `id` is what its lines in the log have in common. `storing` is there from when another thread was asked to
    store them, `result` once they are stored; so many of the refused as `published` says are written down.
    """

    def __init__(self, messages: list[Message], reader: DiscoveredReader) -> None:
        self.id = uuid4().hex[:12]
        self.messages = messages
        self._strategies: list[DiscoveredStrategy] = []
        self.refused: list[Refused] = []
        self.storing: Future[BulkResult] | None = None
        self.result: BulkResult | None = None
        self.published = 0
        self._by_hash: dict[str, list[Message]] = {}
        now = datetime.now(UTC)
        for message in messages:
            try:
                self._take(message, reader, now)
            except DecodeError as error:
                self.refused.append(Refused(message, error.reason, error.detail))
        self.staged = Staged.of(self._strategies)

    def stored(self, result: BulkResult) -> None:
        """Note what became of the strategies; what the database refused is refused with its words."""
        self.result = result
        for each in result.refused:
            messages = self._by_hash[each.strategy.strategy_hash]
            self.refused += [Refused(message, "database", each.reason) for message in messages]

    def _take(self, message: Message, reader: DiscoveredReader, now: datetime) -> None:
        if message.delivered > MOST_DELIVERIES:
            raise DecodeError("poison", f"given to {message.delivered} consumers, and none committed it")
        strategy = reader.read(message, now)
        self._strategies.append(strategy)
        self._by_hash.setdefault(strategy.strategy_hash, []).append(message)


def portions(messages: Iterable[Message]) -> list[list[Message]]:
    """Return what may be worked on together; alone what many consumers did not survive or finish."""
    together: list[Message] = []
    alone: list[list[Message]] = []
    for message in messages:
        if message.delivered > SUSPECT_DELIVERIES:
            alone.append([message])
        else:
            together.append(message)
    return [together, *alone] if together else alone
