"""Bars with known minutes, each published once, and when that was."""

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Lock, Thread
from typing import Any

import redis

from models.market_data import Bar
from services.redis_client import make_client
from tests.faults.strategies.recording import EPOCH

CHANNEL = "market_data:"


def bar_fields(symbol: str, minute: int) -> dict[str, Any]:
    """The bar of a minute after the first, as a publisher writes it."""
    return {
        "symbol": symbol,
        "timeframe": "1m",
        "open": 100.0,
        "high": 101.0,
        "low": 99.0,
        "close": 100.5,
        "volume": 1000.0,
        "timestamp": (EPOCH + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z"),
    }


def bar_identity(symbol: str, minute: int) -> str:
    """What a signal's id is derived from: the identity of the bar that it answers."""
    return Bar.decode(json.dumps(bar_fields(symbol, minute)).encode()).identity


class Feed:
    """Publishes the next bar of a symbol; any thread. Nothing is repeated, so what is missed stays missed."""

    def __init__(self, url: str) -> None:
        self.client = make_client(url)
        self.published: dict[str, dict[int, float]] = defaultdict(dict)
        self._minutes: dict[str, int] = defaultdict(int)
        self._lock = Lock()

    def publish(self, *symbols: str) -> int:
        """Publish the next bar of each symbol; return how many subscribers the server gave them to.

        Raises redis.RedisError while the server is away; the minute is used up all the same.
        """
        given = 0
        for symbol in symbols:
            with self._lock:
                minute = self._minutes[symbol]
                self._minutes[symbol] += 1
            message = json.dumps(bar_fields(symbol, minute))
            at = time.monotonic()
            receivers: Any = self.client.publish(CHANNEL + symbol, message)
            if receivers:
                self.published[symbol][minute] = at
            given += receivers
        return given

    def try_to_publish(self, *symbols: str) -> None:
        """Publish the next bar of each symbol, or not: the server may be away."""
        for symbol in symbols:
            with contextlib.suppress(redis.RedisError):
                self.publish(symbol)

    @contextmanager
    def flowing(self, symbols: Sequence[str], interval: float) -> Iterator[None]:
        """Publish a bar of each symbol every `interval` seconds until the block ends, whatever happens."""
        ended = Event()

        def flow() -> None:
            while not ended.wait(interval):
                self.try_to_publish(*symbols)

        thread = Thread(target=flow, name="feed", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def close(self) -> None:
        """Give the connections back."""
        self.client.close()
