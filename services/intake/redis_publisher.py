"""Messages to Redis streams: kept in memory until they are acknowledged, and never repeated unseen."""

import time
from collections import deque
from threading import Event
from typing import Any, NamedTuple
from uuid import uuid4

import redis
import structlog

from models.errors import StorageConflict, StorageUnavailable
from models.settings import masked
from services.intake.gathering import backoff, waited
from services.redis_client import make_client

WAITING = 10_000
BATCH = 500
FULL_SECONDS = 5.0
STREAM_LENGTH = 100_000

log = structlog.get_logger(__name__)


class _Entry(NamedTuple):
    topic: str
    fields: Any  # redis-py's type for fields admits no str keys


class RedisPublisher:
    """Appends to streams, each kept at about `length` entries (None: never trimmed).

    An entry has the fields data, key and id. One whose acknowledgement was lost is sent again under the same
    id, so that a reader may know it.
    """

    def __init__(self, url: str, stop: Event, *, length: int | None = STREAM_LENGTH) -> None:
        self._stop = stop
        self._length = length
        self._client = make_client(url)
        self._waiting: deque[_Entry] = deque()

    def publish(self, topic: str, key: str, payload: bytes) -> None:
        """Take one message; see MessagePublisher."""
        if len(self._waiting) >= WAITING:
            self.flush(FULL_SECONDS)
        self._waiting.append(_Entry(topic, {"data": payload, "key": key, "id": uuid4().hex}))

    def flush(self, seconds: float) -> None:
        """Write everything; see MessagePublisher."""
        deadline = time.monotonic() + seconds
        refused: list[str] = []
        failures = 0
        while self._waiting:
            reason = self._write(refused)
            failures = 0 if reason is None else failures + 1
            if reason is not None and not waited(self._stop, deadline, backoff(failures - 1)):
                raise StorageUnavailable(f"{len(self._waiting)} messages are not written to Redis: {reason}")
        if refused:
            raise StorageConflict(f"Redis refuses {len(refused)} messages: {refused[0]}")

    def close(self, seconds: float) -> None:
        """Write what waits, then disconnect."""
        try:
            self.flush(seconds)
        except (StorageConflict, StorageUnavailable) as error:
            log.warning("messages_not_published", waiting=len(self._waiting), reason=str(error))
        self._client.close()

    def _write(self, refused: list[str]) -> str | None:
        """Write the first of those waiting; return why some of them still wait, or None."""
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        pipeline = self._client.pipeline(transaction=False)
        for entry in batch:
            pipeline.xadd(entry.topic, entry.fields, maxlen=self._length, approximate=True)
        try:
            answers = pipeline.execute(raise_on_error=False)
        except redis.RedisError as error:
            answers = [error] * len(batch)
        failed = [(entry, answer) for entry, answer in zip(batch, answers, strict=True) if _is_error(answer)]
        refused += [str(answer) for _, answer in failed if _is_final(answer)]
        again = [(entry, answer) for entry, answer in failed if not _is_final(answer)]
        self._waiting.extendleft(entry for entry, _ in reversed(again))
        return masked(str(again[0][1])) if again else None


def _is_error(answer: object) -> bool:
    return isinstance(answer, Exception)


def _is_final(answer: object) -> bool:
    """Whether trying again cannot help: the topic's name is that of something which is no stream."""
    return isinstance(answer, redis.ResponseError) and str(answer).startswith("WRONGTYPE")
