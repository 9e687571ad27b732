"""Messages from a Redis stream, through a consumer group.

First what this consumer was given before and did not commit, then what others were given and left lying, then
new messages. After every lost connection again from the start: a reply may have been lost with it.
"""

import time
from collections.abc import Iterable, Sequence
from threading import Event

import redis
import structlog

from models.settings import masked
from services.intake.gathering import backoff, gathered, waited
from services.intake.messages import Membership, Message, Place, time_of
from services.intake.redis_group import BEGINNING, CHUNK, Entry, RedisGroup
from services.telemetry.logs import Throttle

DATA, KEY, ID = b"data", b"key", b"id"
CLAIM_SECONDS = 60.0
LOG_SECONDS = 10.0

log = structlog.get_logger(__name__)


class RedisSource:
    """One member of a consumer group; see MessageSource for what it promises.

    A message that a consumer has had for `claim_seconds` without a sign of life is given to another one.
    """

    def __init__(
        self, url: str, membership: Membership, stop: Event, *, claim_seconds: float = CLAIM_SECONDS
    ) -> None:
        self.reason: str | None = "Redis: not read yet"
        self.lost = 0
        self._topic = membership.topic
        self._group = RedisGroup(url, membership)
        self._stop = stop
        self._claim_seconds = claim_seconds
        self._throttle = Throttle(LOG_SECONDS)
        self._in_hand: dict[str, int] = {}  # id and how often it was delivered
        self._done: list[str] = []  # to be acknowledged
        self._joined = False
        self._failures = 0
        self._backlog: str | None = BEGINNING
        self._claim_from = BEGINNING
        self._claim_at = 0.0

    def poll(self, most: int, seconds: float, gather: float = 0.0) -> list[Message]:
        """Give up to `most` messages; see MessageSource."""
        return gathered(self._read, self._stop, most, seconds, gather)

    def commit(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages; what cannot be acknowledged now is with the next call."""
        self._done += [
            each.place.offset for each in messages if self._in_hand.pop(each.place.offset, None) is not None
        ]
        try:
            self._acknowledge()
        except redis.RedisError as error:
            self._note(error)

    def hold(self, messages: Sequence[Message], seconds: float) -> list[Message]:
        """Wait, and show the group now and then that the messages are in work."""
        deadline = time.monotonic() + seconds
        while waited(self._stop, deadline, self._claim_seconds / 3):
            self._keep(messages)
        return self._keep(messages)

    def lag(self) -> int | None:
        """Return how many entries the group has not acknowledged; None when Redis cannot tell."""
        try:
            return self._group.lag()
        except redis.RedisError:
            return None

    def close(self, seconds: float) -> None:
        """Give back what is in hand, so that another consumer gets it at once, and disconnect."""
        deadline = time.monotonic() + seconds
        unhurried = Event()  # stop is set by now
        while not self._gave_back() and waited(unhurried, deadline, backoff(self._failures - 1)):
            pass
        self._group.close()

    def _read(self, count: int, wait: float) -> list[Message]:
        try:
            if not self._joined:
                self._group.create()
                self._joined = True
            self._acknowledge()
            messages = (
                self._left_over(count)
                or self._abandoned(count)
                or self._given(self._group.new(count, wait), again=False)
            )
        except redis.RedisError as error:
            self._note(error)
            self._stop.wait(min(wait, backoff(self._failures - 1)))
            return []
        self.reason, self._failures = None, 0
        return messages

    def _note(self, error: redis.RedisError) -> None:
        """Remember a failure. What the server sent with the lost connection is then read again."""
        if str(error).startswith("NOGROUP"):  # somebody emptied the database, or deleted stream or group
            self._joined = False
        self.reason = f"Redis: {masked(str(error))}"
        self._failures += 1
        self._backlog = BEGINNING
        self._throttle.log(log.warning, "intake_source_away", topic=self._topic, reason=self.reason)

    def _acknowledge(self) -> None:
        while self._done:
            self._group.acknowledge(self._done[:CHUNK])
            del self._done[:CHUNK]

    def _left_over(self, count: int) -> list[Message]:
        """Give what this consumer was given before, perhaps in an earlier life, and does not have in hand."""
        while self._backlog is not None:
            entries = self._group.mine(self._backlog, count)
            self._backlog = entries[-1].id if entries else None
            if messages := self._given(entries, again=True):
                return messages
        return []

    def _abandoned(self, count: int) -> list[Message]:
        """Take over what others have left lying, now and then."""
        if time.monotonic() < self._claim_at:
            return []
        found = self._group.abandoned(self._claim_from, count, self._claim_seconds)
        self._claim_from = found.following
        self._count_lost(found.trimmed)
        if found.following == "0-0":
            self._claim_at = time.monotonic() + self._claim_seconds / 4
            self._group.forget_gone_consumers()
        return self._given(found.entries, again=True)

    def _given(self, entries: Iterable[Entry], *, again: bool) -> list[Message]:
        """Take entries in hand, but for those that are there already or that were trimmed."""
        fresh = [each for each in entries if each.id not in self._in_hand]
        trimmed = [each.id for each in fresh if not each.fields]
        self._count_lost(len(trimmed))
        self._done += trimmed
        whole = [each for each in fresh if each.fields]
        counts = self._group.times_delivered((each.id for each in whole), len(self._in_hand)) if again else {}
        messages = [message_of(self._topic, each, counts.get(each.id, 1)) for each in whole]
        self._in_hand |= {each.place.offset: each.delivered for each in messages}
        return messages

    def _keep(self, messages: Sequence[Message]) -> list[Message]:
        """Return those that still are this consumer's, and tell the group that they are in work."""
        ids = {each.place.offset for each in messages}
        try:
            mine = set(self._group.times_delivered(ids, len(self._in_hand)))
            self._group.keep(mine)
        except redis.RedisError as error:
            self._note(error)
            return list(messages)
        for each in ids - mine:
            self._in_hand.pop(each, None)
        return [each for each in messages if each.place.offset in mine]

    def _gave_back(self) -> bool:
        """Try to settle everything; return whether there is nothing left to try."""
        try:
            self._acknowledge()
            for delivered in set(self._in_hand.values()):
                ids = [each for each, count in self._in_hand.items() if count == delivered]
                self._group.give_back(ids, delivered - 1)
            self._in_hand.clear()
        except redis.RedisError as error:
            self._note(error)
            return isinstance(error, redis.ResponseError)
        return True

    def _count_lost(self, count: int) -> None:
        if count:
            self.lost += count
            log.error("intake_messages_trimmed", topic=self._topic, count=count)


def message_of(topic: str, entry: Entry, delivered: int) -> Message:
    """Return an entry of a stream as a message."""
    place = Place(topic, None, entry.id)
    return Message(
        place=place,
        payload=entry.fields.get(DATA, b""),
        key=entry.fields.get(KEY, b"").decode(errors="replace"),
        id=entry.fields.get(ID, b"").decode(errors="replace") or str(place),
        delivered=delivered,
        written_at=time_of(int(entry.id.partition("-")[0])),
    )
