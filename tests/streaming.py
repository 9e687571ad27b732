"""A broker of either kind for tests of streams, and what reads and writes there."""

from threading import Event
from typing import Protocol

from services.embedded import EmbeddedValkey
from services.intake.kafka_publisher import KafkaPublisher
from services.intake.kafka_source import KafkaSource
from services.intake.messages import Membership, Message, MessagePublisher, MessageSource
from services.intake.redis_publisher import RedisPublisher
from services.intake.redis_source import RedisSource
from tests.kafka_mock import MockKafka
from tests.support import eventually

TOPIC = "discovered-strategies"
GROUP = "strategy-consumer"
CLAIM_SECONDS = 1.0
# The mock waits a second less than the session timeout for the members of a group that rebalances.
FAST: dict[str, str | int | bool] = {"session.timeout.ms": 2_000, "heartbeat.interval.ms": 100}


class Broker(Protocol):
    """What the contract suite needs of a broker."""

    def source(self, consumer: str, stop: Event) -> MessageSource:
        """One more member of the group."""

    def publisher(self, stop: Event) -> MessagePublisher:
        """Somebody who writes."""

    def go_away(self) -> None:
        """Answer nobody."""

    def come_back(self) -> None:
        """Answer again."""


class RedisBroker:
    def __init__(self, url: str, server: EmbeddedValkey | None = None) -> None:
        self.url = url
        self._server = server

    def source(self, consumer: str, stop: Event) -> MessageSource:
        membership = Membership(TOPIC, GROUP, consumer)
        return RedisSource(self.url, membership, stop, claim_seconds=CLAIM_SECONDS)

    def publisher(self, stop: Event) -> MessagePublisher:
        return RedisPublisher(self.url, stop)

    def go_away(self) -> None:
        assert self._server is not None
        self._server.pause()

    def come_back(self) -> None:
        assert self._server is not None
        self._server.resume()


class KafkaBroker:
    def __init__(self, servers: str, cluster: MockKafka | None = None) -> None:
        self.servers = servers
        self._cluster = cluster
        self._config = FAST | {"bootstrap.servers": servers}

    def source(self, consumer: str, stop: Event) -> MessageSource:
        return KafkaSource(self._config, Membership(TOPIC, GROUP, consumer), stop)

    def publisher(self, stop: Event) -> MessagePublisher:
        return KafkaPublisher({"bootstrap.servers": self.servers}, stop)

    def go_away(self) -> None:
        assert self._cluster is not None
        self._cluster.go_away()

    def come_back(self) -> None:
        assert self._cluster is not None
        self._cluster.come_back()


def write(publisher: MessagePublisher, count: int, *, first: int = 0, keys: int = 3) -> list[bytes]:
    """Write numbered messages of so many keys in turn; return their payloads when they are acknowledged."""
    payloads = [b"%d" % number for number in range(first, first + count)]
    for number, payload in enumerate(payloads):
        publisher.publish(TOPIC, f"k{number % keys}", payload)
    publisher.flush(10)
    return payloads


def read(source: MessageSource, count: int, seconds: float = 20.0) -> list[Message]:
    """Poll until there are so many messages; AssertionError when they do not come."""
    found: list[Message] = []

    def enough() -> bool:
        found.extend(source.poll(count - len(found), 0.2))
        return len(found) >= count

    eventually(enough, seconds, f"{count} messages")
    return found


def payloads_of(messages: list[Message]) -> list[bytes]:
    """The payloads, sorted as numbers: only messages of one key have an order."""
    return sorted((each.payload for each in messages), key=int)
