"""Messages to Kafka, by an idempotent producer. Needs confluent-kafka (requirements-kafka.txt)."""

import time
from functools import partial
from threading import Event
from typing import NamedTuple
from uuid import uuid4

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from models.errors import StorageConflict, StorageUnavailable
from services.intake.kafka_config import LOGGER, Config, of_producer

WAITING = 10_000
FULL_SECONDS = 5.0
SLICE_SECONDS = 0.1
FINAL = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_RECORD,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError._INVALID_ARG,  # noqa: SLF001 — the library's public names begin so
}

log = structlog.get_logger(__name__)


class _Outgoing(NamedTuple):
    topic: str
    key: str
    payload: bytes
    id: str


class KafkaPublisher:
    """Writes to topics; each message has its id as a header. See MessagePublisher."""

    def __init__(self, config: Config, stop: Event) -> None:
        self._config = of_producer(config)
        self._stop = stop
        self._unacknowledged: dict[int, _Outgoing] = {}
        self._failed: set[int] = set()
        self._refused: list[str] = []
        self._trouble = "no acknowledgement yet"
        self._fatal = False
        self._number = 0
        self._producer = self._make()

    def publish(self, topic: str, key: str, payload: bytes) -> None:
        """Take one message; see MessagePublisher."""
        if len(self._unacknowledged) >= WAITING:
            self.flush(FULL_SECONDS)
        self._number += 1
        self._unacknowledged[self._number] = _Outgoing(topic, key, payload, uuid4().hex)
        self._produce(self._number)

    def flush(self, seconds: float) -> None:
        """Wait for every acknowledgement; see MessagePublisher."""
        deadline = time.monotonic() + seconds
        while self._unacknowledged:
            self._try_again()
            self._producer.flush(SLICE_SECONDS)
            over = self._stop.is_set() or time.monotonic() >= deadline
            if self._unacknowledged and over:
                raise StorageUnavailable(
                    f"{len(self._unacknowledged)} messages are not written to Kafka: {self._trouble}"
                )
        if refused := self._refused:
            self._refused = []
            raise StorageConflict(f"Kafka refuses {len(refused)} messages: {refused[0]}")

    def close(self, seconds: float) -> None:
        """Write what waits, then let go of it."""
        try:
            self.flush(seconds)
        except (StorageConflict, StorageUnavailable) as error:
            log.warning("messages_not_published", waiting=len(self._unacknowledged), reason=str(error))
        self._producer.purge()
        self._producer.flush(SLICE_SECONDS)

    def _make(self) -> Producer:
        own: dict[str, object] = {"error_cb": self._note, "logger": LOGGER}
        return Producer(self._config | own)

    def _try_again(self) -> None:
        """Give the library again what it gave up, in order; after a fatal error to a new producer."""
        if self._fatal:
            self._fatal = False
            self._producer.purge()
            self._producer = self._make()
            self._failed = set(self._unacknowledged)
        for number in sorted(self._failed):
            self._failed.discard(number)
            self._produce(number)

    def _produce(self, number: int) -> None:
        topic, key, payload, name = self._unacknowledged[number]
        try:
            self._producer.produce(
                topic,
                payload,
                key or None,
                on_delivery=partial(self._delivered, number),
                headers={"id": name.encode()},
            )
        except BufferError:  # the library's own limit, in bytes
            self._failed.add(number)
        except KafkaException as error:
            self._delivered(number, error.args[0], None)
        self._producer.poll(0)

    def _delivered(self, number: int, error: KafkaError | None, _message: KafkaMessage | None) -> None:
        if error is not None and error.code() not in FINAL:
            self._failed.add(number)
            self._note(error)
            return
        outgoing = self._unacknowledged.pop(number, None)
        if error is not None and outgoing is not None:
            self._refused.append(f"{outgoing.topic}: {error.str()}")

    def _note(self, error: KafkaError) -> None:
        self._trouble = error.str()
        self._fatal = self._fatal or error.fatal()
