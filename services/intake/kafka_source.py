"""Messages from a Kafka topic, through a consumer group. Needs confluent-kafka (requirements-kafka.txt)."""

import time
from collections.abc import Sequence
from threading import Event

import structlog
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka import Message as KafkaMessage

from services.intake.gathering import gathered
from services.intake.kafka_config import LOGGER, Config, of_consumer
from services.intake.kafka_offsets import Offsets
from services.intake.messages import Membership, Message, Place, time_of
from services.telemetry.logs import Throttle

ID_HEADER = "id"
ASK_SECONDS = 1.0
ANSWER_SECONDS = 0.5
HOLD_SECONDS = 0.1
LOG_SECONDS = 10.0
WAITING = "Kafka: waiting for partitions of {}"

log = structlog.get_logger(__name__)


class KafkaSource:
    """One member of a consumer group; see MessageSource for what it promises.

    Partitions come and go only while the source is polled or held: whoever commits before the next poll has
    finished the batch in hand before another consumer can get its partitions. `lost` stays 0: Kafka does not
    tell what expired before it was read. `config` is librdkafka's own.
    """

    def __init__(self, config: Config, membership: Membership, stop: Event) -> None:
        self.lost = 0
        self._topic = membership.topic
        self._stop = stop
        self._offsets = Offsets()
        self._early: list[Message] = []
        self._assigned: set[int] | None = None
        self._holding = self._closed = False
        self._trouble: str | None = None
        self._ask_at = 0.0
        self._throttle = Throttle(LOG_SECONDS)
        own: dict[str, object] = {"error_cb": self._note, "on_commit": self._committed, "logger": LOGGER}
        self._consumer = Consumer(of_consumer(config, membership.group) | own)
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    @property
    def reason(self) -> str | None:
        """Why no messages can be had now."""
        return self._trouble or (WAITING.format(self._topic) if self._assigned is None else None)

    def poll(self, most: int, seconds: float, gather: float = 0.0) -> list[Message]:
        """Give up to `most` messages; see MessageSource."""
        return self._ours(gathered(self._read, self._stop, most, seconds, gather))

    def commit(self, messages: Sequence[Message]) -> None:
        """Tell the broker, without waiting for its answer; a commit that fails is sent again."""
        for message in messages:
            self._offsets.finish(message.place.partition or 0, int(message.place.offset))
        self._send_commits()

    def hold(self, messages: Sequence[Message], seconds: float) -> list[Message]:
        """Wait with every partition paused, polling so that the group does not give this member up."""
        deadline = time.monotonic() + seconds
        self._holding = True
        self._consumer.pause(self._partitions())
        while not self._stop.is_set():
            left = deadline - time.monotonic()
            self._early += self._taken(self._consumer.poll(max(0.0, min(left, HOLD_SECONDS))))
            self._ask_after_trouble()
            if left <= 0:
                break
        self._holding = False
        self._consumer.resume(self._partitions())
        return self._ours(messages)

    def lag(self) -> int | None:
        """Return how many messages of this consumer's partitions are not done yet."""
        if self._assigned is None:
            return None
        try:
            behind = [self._lag_of(each) for each in self._partitions()]
        except KafkaException:
            return None
        return None if None in behind else sum(filter(None, behind))

    def close(self, seconds: float) -> None:
        """Wait for the last commits, then leave the group, whose other members get what is not committed."""
        if self._closed:
            return
        self._closed = True
        deadline = time.monotonic() + seconds
        self._consumer.pause(self._partitions())
        self._send_commits()
        while not self._offsets.settled and time.monotonic() < deadline:
            self._consumer.poll(HOLD_SECONDS)
            self._send_commits()
        self._consumer.close()

    def _read(self, count: int, wait: float) -> list[Message]:
        self._send_commits()
        messages, self._early = self._early[:count], self._early[count:]
        if not messages:
            messages = self._consume(1, wait)
        if messages and len(messages) < count:
            messages += self._consume(count - len(messages), 0.0)
        self._ask_after_trouble()
        return self._ours(messages)

    def _consume(self, count: int, wait: float) -> list[Message]:
        try:
            taken = self._consumer.consume(count, wait)
        except KafkaException as error:
            self._note(error.args[0])
            self._stop.wait(wait)
            return []
        return [message for each in taken for message in self._taken(each)]

    def _taken(self, given: KafkaMessage | None) -> list[Message]:
        """Take a message in hand, if it is one and no report of an error."""
        if given is None:
            return []
        if (error := given.error()) is not None:
            self._note(error)
            return []
        message = message_of(self._topic, given)
        self._offsets.give(given.partition() or 0, given.offset() or 0)
        return [message]

    def _ours(self, messages: Sequence[Message]) -> list[Message]:
        has = self._offsets.has
        return [each for each in messages if has(each.place.partition or 0, int(each.place.offset))]

    def _send_commits(self) -> None:
        if due := self._offsets.take_due():
            try:
                self._consumer.commit(
                    offsets=[TopicPartition(self._topic, *each) for each in due.items()], asynchronous=True
                )
            except KafkaException as error:
                self._committed(error.args[0], [TopicPartition(self._topic, each) for each in due])

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            if error is None and each.error is None:
                self._offsets.confirm(each.partition, each.offset)
            else:
                self._offsets.fail(each.partition)
                why = str(error or each.error)
                self._throttle.log(log.warning, "intake_commit_failed", topic=self._topic, reason=why)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.assign(partitions)
        self._assigned = {each.partition for each in partitions}
        self._trouble = None
        if self._holding:
            consumer.pause(partitions)
        log.info("intake_partitions_assigned", topic=self._topic, partitions=sorted(self._assigned))

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        given_back = self._offsets.give_up(each.partition for each in partitions)
        self._assigned = None
        log.info("intake_partitions_revoked", topic=self._topic, given_back=given_back)

    def _note(self, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 — the library's public names begin so
            return
        self._trouble = f"Kafka: {error.str()}"
        self._throttle.log(log.warning, "intake_source_away", topic=self._topic, reason=self._trouble)

    def _ask_after_trouble(self) -> None:
        """Look whether it is over: the library tells of the beginning of trouble, never of its end."""
        if self._trouble is None or time.monotonic() < self._ask_at:
            return
        self._ask_at = time.monotonic() + ASK_SECONDS
        try:
            topic = self._consumer.list_topics(self._topic, timeout=ANSWER_SECONDS).topics[self._topic]
        except KafkaException:
            return
        self._trouble = None if topic.error is None else f"Kafka: {topic.error.str()}"

    def _partitions(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, each) for each in self._assigned or ()]

    def _lag_of(self, partition: TopicPartition) -> int | None:
        first, last = self._consumer.get_watermark_offsets(partition, cached=True)
        if last < 0:  # nothing was fetched yet
            return None
        done = self._offsets.first_in_hand(partition.partition)
        if done is None:
            done = self._consumer.position([partition])[0].offset
        if done < 0:  # nothing was read since the partition came
            done = self._consumer.committed([partition], timeout=ANSWER_SECONDS)[0].offset
        return last - max(done, first, 0)


def message_of(topic: str, given: KafkaMessage) -> Message:
    """Return what the library gave, and no report of an error, as a message."""
    place = Place(topic, given.partition() or 0, str(given.offset() or 0))
    headers = dict(given.headers() or [])
    return Message(
        place=place,
        payload=_bytes(given.value()),
        key=_bytes(given.key()).decode(errors="replace"),
        id=_bytes(headers.get(ID_HEADER)).decode(errors="replace") or str(place),
        written_at=time_of(given.timestamp()[1]),
    )


def _bytes(value: bytes | str | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
