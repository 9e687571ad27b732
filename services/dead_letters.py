"""Messages that were refused, kept in a Redis stream so that a person can see what and why."""

from collections import deque
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any, NamedTuple

import redis
import structlog

from services.redis_client import make_client

STREAM = "strategy_worker:dead_letters"
STREAM_LENGTH = 10_000
PAYLOAD_BYTES = 4 * 1024
WAITING = 10_000
BATCH = 500
RETRY_SECONDS = 1.0

log = structlog.get_logger(__name__)


class DeadLetter(NamedTuple):
    """One refused message: where it came from, why, and its first bytes."""

    source: str
    reason: str
    payload: bytes
    at: str


class DeadLetters:
    """Writes refused messages to Redis on a thread of its own, so that nobody waits for it.

    While Redis is away they wait in memory; beyond 10,000 the oldest are lost, and counted as `lost`.
    """

    def __init__(self, redis_url: str) -> None:
        self.written = 0
        self.lost = 0
        self._client = make_client(redis_url)
        self._waiting: deque[DeadLetter] = deque(maxlen=WAITING)
        self._news = Event()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="dead-letters", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Write what is waiting, for at most `timeout` seconds, and end."""
        self._stop.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._client.close()

    def add(self, source: str, reason: str, payload: bytes) -> None:
        """Keep a refused message. Never waits, never raises; safe from every thread."""
        if len(self._waiting) == WAITING:
            self.lost += 1
        at = datetime.now(UTC).isoformat()
        self._waiting.append(DeadLetter(source, reason, payload[:PAYLOAD_BYTES], at))
        self._news.set()

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            try:
                while self._waiting:
                    self._write([self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))])
            except redis.RedisError as error:
                log.warning("dead_letters_not_written", waiting=len(self._waiting), error=str(error))
                if not self._stop.wait(RETRY_SECONDS):
                    self._news.set()
            if self._stop.is_set():
                return

    def _write(self, letters: list[DeadLetter]) -> None:
        """Append to the stream; what cannot be written goes back to the front of the queue."""
        pipeline = self._client.pipeline(transaction=False)
        for letter in letters:
            fields: Any = letter._asdict()  # redis-py's type for fields admits no str keys
            pipeline.xadd(STREAM, fields, maxlen=STREAM_LENGTH, approximate=True)
        try:
            pipeline.execute()
        except redis.RedisError:
            room = WAITING - len(self._waiting)
            self._waiting.extendleft(reversed(letters[-room:] if room else []))
            self.lost += max(0, len(letters) - room)
            raise
        self.written += len(letters)
