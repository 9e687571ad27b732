"""Plays bars through Redis at a steady pace, and never faster than the worker reads.

The pace is a schedule counted from the start, so that a late batch is caught up with rather than added up.
Pub/sub drops what a slow reader leaves behind; so after every batch the worker is asked how many bars it has
delivered, and the next waits while too many are on their way.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Event

import msgspec
import redis

from models.market_data import Bar
from services.demo.failure import DemoFailed

BATCHES_PER_SECOND = 10  # at a steady pace
LARGEST_BATCH = 500
ON_THEIR_WAY = (
    2_000  # bars published and not delivered: some 0.5 MB of the 8 MB that Valkey keeps for a reader
)
STALLED_SECONDS = 20.0
POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Reader:
    """The worker as the replay sees it: `delivered` gives its count of bars, `check` raises if it ended."""

    delivered: Callable[[], int]
    check: Callable[[], None]


class Replay:
    """One run of bars. `speed` is in bars a second, None for as fast as they are read."""

    def __init__(self, client: redis.Redis, bars: Sequence[Bar], speed: float | None) -> None:
        self._client = client
        self._bars = bars
        self._speed = speed
        self._wait = Event()  # never set: Ctrl-C ends a wait

    def run(self, reader: Reader) -> Iterator[int]:
        """Publish batch after batch, and give how many bars are out after each.

        Raises DemoFailed when nobody listens or the worker stops reading, redis.RedisError.
        """
        started, published = time.monotonic(), 0
        remaining = iter(self._bars)
        while batch := list(islice(remaining, self._batch_size())):
            if self._speed is not None:
                self._wait.wait(max(0.0, started + published / self._speed - time.monotonic()))
            self._publish(batch)
            published += len(batch)
            yield published
            self._let_catch_up(published, reader)

    def _batch_size(self) -> int:
        if self._speed is None:
            return LARGEST_BATCH
        return min(LARGEST_BATCH, max(1, round(self._speed / BATCHES_PER_SECOND)))

    def _publish(self, batch: Sequence[Bar]) -> None:
        with self._client.pipeline(transaction=False) as pipeline:
            for bar in batch:
                pipeline.publish(f"market_data:{bar.symbol}", msgspec.json.encode(bar))
            heard = pipeline.execute()
        if not all(heard):
            raise DemoFailed(f"{heard.count(0)} bars were published while the worker was not subscribed")

    def _let_catch_up(self, published: int, reader: Reader) -> None:
        delivered, moved_at = -1, time.monotonic()
        while True:
            reader.check()
            before, delivered = delivered, reader.delivered()
            if published - delivered <= ON_THEIR_WAY:
                return
            if delivered != before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > STALLED_SECONDS:
                raise DemoFailed(f"the worker stopped at {delivered:,} of {published:,} bars published")
            self._wait.wait(POLL_SECONDS)
