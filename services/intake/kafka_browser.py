"""Looks at the messages of Kafka topics. Needs confluent-kafka (requirements-kafka.txt)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaException, TopicPartition

from models.errors import StorageUnavailable
from services.intake.kafka_config import LOGGER, Config, of_consumer
from services.intake.kafka_source import message_of
from services.intake.messages import Message, Place

ANSWER_SECONDS = 5.0
SLICE_SECONDS = 0.2
EARLIEST = datetime.min.replace(tzinfo=UTC)


class KafkaBrowser:
    """See MessageBrowser. It assigns partitions to itself, so that no group is asked."""

    def __init__(self, config: Config) -> None:
        own: dict[str, object] = {"logger": LOGGER}
        self._consumer = Consumer(of_consumer(config, "strategy-worker-browser") | own)

    def newest(self, topic: str, most: int) -> list[Message]:
        """Return the newest messages, newest first."""
        with _translated():
            described = self._consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic]
            messages: list[Message] = []
            for partition in described.partitions:
                first, last = self._limits(topic, partition)
                messages += self._between(topic, partition, max(first, last - most), last)
        return sorted(messages, key=lambda each: each.written_at or EARLIEST, reverse=True)[:most]

    def get(self, place: Place) -> Message | None:
        """Return the message at a place, or None when it is not there any more."""
        with _translated():
            partition, offset = place.partition or 0, int(place.offset)
            first, last = self._limits(place.topic, partition)
            if not first <= offset < last:
                return None
            found = self._between(place.topic, partition, offset, offset + 1)
        return next((each for each in found if each.place == place), None)

    def remove(self, place: Place) -> bool:  # noqa: ARG002 — whichever it is
        """Return false: a topic keeps its messages."""
        return False

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _limits(self, topic: str, partition: int) -> tuple[int, int]:
        asked = TopicPartition(topic, partition)
        first, last = self._consumer.get_watermark_offsets(asked, timeout=ANSWER_SECONDS)
        return first, last

    def _between(self, topic: str, partition: int, first: int, last: int) -> list[Message]:
        """Read a partition from offset `first` up to, but without, `last`."""
        found: list[Message] = []
        if first >= last:
            return found
        self._consumer.assign([TopicPartition(topic, partition, first)])
        deadline = time.monotonic() + ANSWER_SECONDS
        at = first
        while at < last and time.monotonic() < deadline:
            for given in self._consumer.consume(last - at, SLICE_SECONDS):
                if given.error() is None:
                    at = (given.offset() or 0) + 1
                    found.append(message_of(topic, given))
        self._consumer.unassign()
        return [each for each in found if int(each.place.offset) < last]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise StorageUnavailable(f"Kafka does not answer as it should: {error.args[0].str()}") from None
