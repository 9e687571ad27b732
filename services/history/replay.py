"""Messages published to Redis again, at the pace of a schedule, and never faster than they are read.

A schedule counts from the start, so that a late batch is caught up with rather than added up. Pub/sub drops
what a slow reader leaves behind; so after every batch the audience is asked how far behind it is, and the
next waits while that is too much.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from threading import Event
from typing import NamedTuple, Protocol

import redis

from models.errors import StrategyWorkerError

LARGEST_BATCH = 500
LARGEST_BATCH_BYTES = 256 * 1024
MARKET = "market_"
GRAIN_SECONDS = 0.005
STALLED_SECONDS = 20.0
POLL_SECONDS = 0.01
BUFFERED_BYTES = 512 * 1024
"""Of the 8 MB that a server usually keeps for a subscriber before it cuts it off."""


class Message(NamedTuple):
    """What was, or is to be, published: when, in seconds since 1970, on which channel, and what."""

    at: float
    channel: str
    payload: bytes


Schedule = Callable[[int, Message], float]
"""Says when a message is due, in seconds after the start, by its number and itself; asked in order."""


class ReplayStalled(StrategyWorkerError):
    """Whoever listens has stopped reading."""


class Audience(Protocol):
    """Who listens to a replay."""

    @property
    def limit(self) -> int:
        """How far behind it may be."""

    def behind(self, published: int) -> int:
        """Return how much it has not read yet of so many messages, in whatever it counts.

        Raises where it is there no more.
        """


class Subscribers:
    """Everybody who is subscribed, by what the server keeps for the slowest of them, in bytes."""

    limit = BUFFERED_BYTES

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def behind(self, published: int) -> int:  # noqa: ARG002 — the server knows
        """Return the bytes that wait in the server. Raises redis.RedisError."""
        return max((int(each["omem"]) for each in self._client.client_list("pubsub")), default=0)


class Replay:
    """One run of messages; without a schedule as fast as they are read.

    What is due within `grain` seconds goes out together, but for what is no market data: that goes alone, and
    `heed` is called after it. `unheard` counts what nobody was subscribed to.
    """

    def __init__(
        self,
        client: redis.Redis,
        messages: Iterable[Message],
        schedule: Schedule | None,
        *,
        grain: float = GRAIN_SECONDS,
        heed: Callable[[Message], None] = lambda _: None,
    ) -> None:
        self.unheard = 0
        self._client = client
        self._messages = messages
        self._schedule = schedule
        self._grain = grain
        self._heed = heed
        self._wait = Event()  # never set: Ctrl-C ends a wait

    def run(self, audience: Audience) -> Iterator[int]:
        """Publish batch after batch, and give how many messages are out after each.

        Raises ReplayStalled when nobody reads on, redis.RedisError.
        """
        started, published = time.monotonic(), 0
        for due, batch in self._batches():
            self._wait.wait(max(0.0, started + due - time.monotonic()))
            self._publish(batch)
            published += len(batch)
            yield published
            self._heed(batch[-1])
            self._let_catch_up(published, audience)

    def _batches(self) -> Iterator[tuple[float, list[Message]]]:
        batch: list[Message] = []
        due, size, alone = 0.0, 0, False
        for number, message in enumerate(self._messages):
            when = 0.0 if self._schedule is None else self._schedule(number, message)
            is_full = len(batch) == LARGEST_BATCH or size >= LARGEST_BATCH_BYTES
            is_apart = not message.channel.startswith(MARKET) or alone
            if batch and (is_full or is_apart or when - due >= self._grain):
                yield due, batch
                batch, size = [], 0
            if not batch:
                due = when
            batch.append(message)
            alone = not message.channel.startswith(MARKET)
            size += len(message.payload)
        if batch:
            yield due, batch

    def _publish(self, batch: Sequence[Message]) -> None:
        with self._client.pipeline(transaction=False) as pipeline:
            for message in batch:
                pipeline.publish(message.channel, message.payload)
            self.unheard += pipeline.execute().count(0)

    def _let_catch_up(self, published: int, audience: Audience) -> None:
        behind, moved_at = inf, time.monotonic()
        while True:
            before, behind = behind, audience.behind(published)
            if behind <= audience.limit:
                return
            if behind != before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > STALLED_SECONDS:
                raise ReplayStalled(f"nobody reads on: {behind:,} behind after {published:,} messages")
            self._wait.wait(POLL_SECONDS)


def per_second(rate: float) -> Schedule:
    """Have so many messages published a second, whatever their times."""
    return lambda number, _: number / rate


def times(speed: float, longest_pause: float = inf) -> Schedule:
    """Have messages published with the pauses that were between them, so many times as fast.

    No pause is longer than `longest_pause` seconds.
    """
    due, before = 0.0, inf

    def schedule(_: int, message: Message) -> float:
        nonlocal due, before
        due += min(max(0.0, message.at - before) / speed, longest_pause)
        before = message.at
        return due

    return schedule
