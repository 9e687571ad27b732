"""What a member of a consumer group asks of Redis, one command each. Raises redis.RedisError."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import redis
import structlog

from services.intake.messages import Membership
from services.redis_client import make_client

BEGINNING = "0"
GONE_MS = 86_400_000
CHUNK = 1_000

log = structlog.get_logger(__name__)


class Entry(NamedTuple):
    """One entry of a stream; one that was trimmed before it was read has no fields."""

    id: str
    fields: Mapping[bytes, bytes]


class Abandoned(NamedTuple):
    """What was taken over: where to look next ("0-0" after the last), and how many were trimmed."""

    following: str
    entries: list[Entry]
    trimmed: int


class RedisGroup:
    """The membership's stream and group; nothing is remembered here but the connection."""

    def __init__(self, url: str, membership: Membership) -> None:
        self._key, self._group, self._consumer = membership
        self._client: Any = make_client(url)  # redis-py types every reply as one for awaiting, too

    def create(self) -> None:
        """Make group and stream, if they are not there; the group reads from the stream's beginning."""
        try:
            self._client.xgroup_create(self._key, self._group, id=BEGINNING, mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        else:
            log.info("intake_group_created", topic=self._key, group=self._group)

    def new(self, count: int, seconds: float) -> list[Entry]:
        """Wait for entries that nobody of the group was given."""
        return self._read(">", count, int(seconds * 1000) or None)

    def mine(self, after: str, count: int) -> list[Entry]:
        """Return entries after that id that this consumer was given and has not acknowledged."""
        return self._read(after, count, None)

    def abandoned(self, start: str, count: int, idle_seconds: float) -> Abandoned:
        """Take over entries that a consumer, this one included, has had for so long without a sign."""
        following, found, *trimmed = self._client.xautoclaim(
            self._key,
            self._group,
            self._consumer,
            min_idle_time=int(idle_seconds * 1000),
            start_id=start,
            count=count,
        )
        entries = _entries(each for each in found if each[0] is not None)  # Redis 6.2 gives nil for trimmed
        return Abandoned(following.decode(), entries, len(trimmed[0]) if trimmed else 0)

    def times_delivered(self, ids: Iterable[str], among: int) -> dict[str, int]:
        """Return how often each was given to somebody; only those that this consumer still has.

        `among` is how many others it may have besides.
        """
        ordered = sorted(ids, key=_order)
        if not ordered:
            return {}
        pending = self._client.xpending_range(
            self._key,
            self._group,
            min=ordered[0],
            max=ordered[-1],
            count=len(ordered) + among,
            consumername=self._consumer,
        )
        counts = {each["message_id"].decode(): int(each["times_delivered"]) for each in pending}
        return {each: counts[each] for each in ordered if each in counts}

    def acknowledge(self, ids: list[str]) -> None:
        """Take these from the pending ones."""
        self._client.xack(self._key, self._group, *ids)

    def keep(self, ids: Iterable[str]) -> None:
        """Give a sign that this consumer works on these."""
        for chunk in _chunks(list(ids)):
            self._client.xclaim(self._key, self._group, self._consumer, 0, chunk, justid=True)

    def give_back(self, ids: Iterable[str], delivered: int) -> None:
        """Make these look abandoned for long, and as if they had been given so often."""
        for chunk in _chunks(list(ids)):
            self._client.xclaim(
                self._key,
                self._group,
                self._consumer,
                0,
                chunk,
                idle=GONE_MS,
                retrycount=delivered,
                justid=True,
            )

    def forget_gone_consumers(self, idle_ms: int = GONE_MS) -> None:
        """Delete consumers that have nothing and asked for nothing for so long, by default a day."""
        for each in self._client.xinfo_consumers(self._key, self._group):
            if each["pending"] == 0 and each["idle"] > idle_ms:
                self._client.xgroup_delconsumer(self._key, self._group, each["name"])

    def lag(self) -> int | None:
        """Return how many entries the group has not acknowledged; None when Redis cannot tell."""
        for each in self._client.xinfo_groups(self._key):
            if each["name"].decode() == self._group:
                unread = each.get("lag")
                return None if unread is None else int(unread) + int(each["pending"])
        return None

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def _read(self, after: str, count: int, block: int | None) -> list[Entry]:
        replies = self._client.xreadgroup(
            self._group, self._consumer, {self._key: after}, count=count, block=block
        )
        return _entries(replies[0][1]) if replies else []


def _entries(found: Iterable[Any]) -> list[Entry]:
    return [Entry(each.decode(), fields or {}) for each, fields in found]


def _order(entry: str) -> tuple[int, int]:
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number)


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
