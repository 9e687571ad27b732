"""Messages that were refused, whole and with the reason, written to a stream of their own.

Unlike the worker's dead letters (services/dead_letters.py) these are written before their message is
committed: a refusal is never lost, and the message can be replayed from it.
"""

import base64
import binascii
from datetime import UTC, datetime

import msgspec

from models.errors import DecodeError
from services.intake.messages import Message, MessagePublisher

STRATEGY_DEAD_LETTERS = "strategy-consumer-dlq"
PORTFOLIO_ERRORS = "strategy.errors"
LARGEST_ORIGINAL = 128 * 1024  # bytes; as JSON six times as much at worst, and Kafka takes 1 MB


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One refused message. `source` is its place; `encoding` says how its bytes became text."""

    original_message: str
    error: str
    timestamp: str
    source: str
    reason: str = ""
    encoding: str = "utf-8"
    key: str = ""
    truncated: bool = False

    @classmethod
    def of(cls, message: Message, reason: str, error: str) -> "Refusal":
        """Describe why a message is refused; what is not UTF-8 is kept as base64."""
        payload = message.payload[:LARGEST_ORIGINAL]
        try:
            original, encoding = payload.decode(), "utf-8"
        except UnicodeDecodeError:
            original, encoding = base64.b64encode(payload).decode(), "base64"
        return cls(
            original_message=original,
            error=error,
            timestamp=datetime.now(UTC).isoformat(),
            source=str(message.place),
            reason=reason,
            encoding=encoding,
            key=message.key,
            truncated=len(payload) < len(message.payload),
        )

    @classmethod
    def decode(cls, payload: bytes) -> "Refusal":
        """Read one back. Raises DecodeError."""
        try:
            return msgspec.json.decode(payload, type=cls)
        except msgspec.DecodeError as error:
            raise DecodeError("not_a_refusal", str(error)) from None

    def encode(self) -> bytes:
        """Return it as JSON."""
        return msgspec.json.encode(self)

    @property
    def topic(self) -> str:
        """Where the message came from, and where a replay sends it."""
        return self.source.rpartition("@")[0].partition("/")[0]

    def payload(self) -> bytes:
        """Return the message's own bytes. Raises DecodeError when they are not all there."""
        if self.truncated:
            raise DecodeError("truncated", "only the beginning of this message was kept")
        if self.encoding == "utf-8":
            return self.original_message.encode()
        try:
            return base64.b64decode(self.original_message, validate=True)
        except binascii.Error as error:
            raise DecodeError("not_a_refusal", str(error)) from None


class Refusals:
    """Writes refusals to one topic. They are safe once the publisher has flushed: commit after that."""

    def __init__(self, publisher: MessagePublisher, topic: str) -> None:
        self._publisher = publisher
        self._topic = topic

    def add(self, message: Message, reason: str, error: str) -> None:
        """Keep a message that is refused: `reason` is a stable word, `error` tells a person.

        Raises what MessagePublisher.publish raises.
        """
        self._publisher.publish(self._topic, message.key, Refusal.of(message, reason, error).encode())
