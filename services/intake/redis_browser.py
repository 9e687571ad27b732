"""Looks at the entries of Redis streams."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from models.errors import StorageUnavailable
from models.settings import masked
from services.intake.messages import Message, Place
from services.intake.redis_group import Entry
from services.intake.redis_source import message_of
from services.redis_client import make_client


class RedisBrowser:
    """See MessageBrowser."""

    def __init__(self, url: str) -> None:
        self._client: Any = make_client(url)  # redis-py types every reply as one for awaiting, too

    def newest(self, topic: str, most: int) -> list[Message]:
        """Return the newest messages, newest first."""
        with _translated():
            return [_message(topic, each) for each in self._client.xrevrange(topic, count=most)]

    def get(self, place: Place) -> Message | None:
        """Return the message at a place, or None when it was trimmed or removed."""
        with _translated():
            found = self._client.xrange(place.topic, min=place.offset, max=place.offset, count=1)
            return _message(place.topic, found[0]) if found else None

    def remove(self, place: Place) -> bool:
        """Take a message out of its stream."""
        with _translated():
            return bool(self._client.xdel(place.topic, place.offset))

    def close(self) -> None:
        """Disconnect."""
        self._client.close()


def _message(topic: str, found: tuple[bytes, dict[bytes, bytes]]) -> Message:
    return message_of(topic, Entry(found[0].decode(), found[1]), 1)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise StorageUnavailable(f"Redis does not answer as it should: {masked(str(error))}") from None
