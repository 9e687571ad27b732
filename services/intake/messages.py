"""The port to streams of messages, in the same words for Redis Streams and for Kafka.

Both promise the same: every message is given to one consumer of its group, in the order of its partition (a
Redis stream is one partition), and comes again, to this consumer or to another one, until it was committed.
So one message may come twice; none is skipped. A source belongs to the thread that polls it, and a publisher
to the one that writes.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from msgspec import Struct


class Place(NamedTuple):
    """Where a message stands: in a Redis stream by its entry id, in Kafka by partition and offset."""

    topic: str
    partition: int | None
    offset: str

    def __str__(self) -> str:
        """Return it as people and logs name it: `topic@1700000000000-0`, `topic/3@42`."""
        partition = "" if self.partition is None else f"/{self.partition}"
        return f"{self.topic}{partition}@{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Read what `str` gave. Raises ValueError."""
        where, _, offset = text.rpartition("@")
        topic, slash, partition = where.partition("/")
        if not topic or not offset:
            raise ValueError(f"{text!r} is no place of a message, like topic@1700000000000-0 or topic/3@42")
        return cls(topic, int(partition) if slash else None, offset)


class Membership(NamedTuple):
    """Who reads which topic: consumers of one group share its messages, each under a name of its own."""

    topic: str
    group: str
    consumer: str


class Message(Struct, frozen=True, kw_only=True):
    """One message as it was read.

    `id` is what its publisher called it: the same id again is the same message, sent twice. Where a publisher
    gives none it is the place. `delivered` counts how often it was given to a consumer of the group, this
    time included: Redis counts for the whole group, Kafka does not count, so that it is always 1 there.
    `written_at` is the broker's time.
    """

    place: Place
    payload: bytes
    key: str = ""
    id: str = ""
    delivered: int = 1
    written_at: datetime | None = None


def time_of(milliseconds: int) -> datetime | None:
    """Return a broker's Unix time as a datetime; None for what cannot be one."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


class MessageSource(Protocol):
    """Messages of one topic, for one consumer of a group.

    Made with an Event that says stop: every wait ends soon after it is set (0.5 s), and nothing new is taken.
    No method raises because the broker is away: it is asked again for ever, and `reason` says so meanwhile.
    """

    @property
    def reason(self) -> str | None:
        """Why no messages can be had now, in words without secrets; None while all is well."""

    @property
    def lost(self) -> int:
        """How many messages were gone from the stream before they could be read: trimmed, or expired."""

    def poll(self, most: int, seconds: float, gather: float = 0.0) -> list[Message]:
        """Wait at most `seconds` for a first message, then `gather` seconds for more, up to `most` of them.

        Returns as soon as it has `most`, or as stop is set; what it has then is given all the same. What was
        given is the caller's until it is committed or the source closed: it is not given twice meanwhile.
        """

    def commit(self, messages: Sequence[Message]) -> None:
        """Tell the broker that these are done: call it after the commit of the database.

        While the broker is away this is remembered, and told to it with the next call.
        """

    def hold(self, messages: Sequence[Message], seconds: float) -> list[Message]:
        """Wait that long without taking anything new, and remain a member of the group.

        Returns those of the messages, all in the caller's hand, that are still this consumer's; the
        others were given to another one meanwhile, and are no longer to be worked on.
        """

    def lag(self) -> int | None:
        """How many messages of the topic this group (Redis) or this consumer (Kafka) has yet to commit.

        None while that cannot be known.
        """

    def close(self, seconds: float) -> None:
        """Give back what was not committed and leave, within about that time. Once more does nothing."""


class MessagePublisher(Protocol):
    """Writes messages. What `publish` took is written for sure only when `flush` returned."""

    def publish(self, topic: str, key: str, payload: bytes) -> None:
        """Take one message; those of one key keep their order. Flushes when too many wait (10,000).

        Raises StorageUnavailable when it would have to wait for a broker that is away; then it was not taken.
        """

    def flush(self, seconds: float) -> None:
        """Wait until the broker has acknowledged everything.

        Raises StorageUnavailable when it has not within `seconds`, or when stop was set and it did not at
        once. What is not acknowledged is kept and sent with the next flush: it may then be there twice, under
        the same id. Raises StorageConflict when the broker refuses a message for good; that one is dropped.
        """

    def close(self, seconds: float) -> None:
        """Try for that time to write what waits, then give the connection back. Never raises."""


class MessageBrowser(Protocol):
    """Looks at the messages of topics; no consumer group notices. Raises StorageUnavailable."""

    def newest(self, topic: str, most: int) -> list[Message]:
        """Return the newest messages, newest first."""

    def get(self, place: Place) -> Message | None:
        """Return the message at a place, or None when there is none (any more)."""

    def remove(self, place: Place) -> bool:
        """Take a message out of its topic; false where the transport cannot do that."""

    def close(self) -> None:
        """Disconnect."""
