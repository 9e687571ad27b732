"""What a consumer group of Kafka does beyond the contract of streams, on librdkafka's mock cluster."""

from collections.abc import Iterator
from threading import Event

import pytest

from models.errors import StorageConflict
from tests.kafka_mock import MockKafka
from tests.streaming import TOPIC, KafkaBroker, read, write
from tests.support import eventually


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    with MockKafka() as cluster:
        cluster.make_topic(TOPIC)
        yield KafkaBroker(cluster.servers, cluster)


def test_a_rebalance_gives_back_what_is_in_hand(broker: KafkaBroker) -> None:
    publisher = broker.publisher(Event())
    write(publisher, 20, keys=20)
    first = broker.source("a", Event())
    in_hand = read(first, 20)
    second = broker.source("b", Event())  # which joins the group from now on
    taken = second.poll(1, 0)

    def rebalanced() -> bool:
        taken.extend(second.poll(100, 0.05))
        return bool(taken) and len(first.hold(in_hand, 0.05)) < 20

    eventually(rebalanced, 60)
    assert first.hold(in_hand, 0.0) == []  # all partitions change hands, and what stays comes again
    first.commit(in_hand)

    def everything() -> bool:
        taken.extend(first.poll(100, 0.05) + second.poll(100, 0.05))
        return len({each.payload for each in taken}) == 20

    eventually(everything, 40)
    first.close(5)
    second.close(5)
    publisher.close(1)


def test_a_message_that_no_broker_takes_is_refused_and_holds_nothing_up(broker: KafkaBroker) -> None:
    publisher = broker.publisher(Event())
    publisher.publish(TOPIC, "", b"x" * 2_000_000)
    publisher.publish(TOPIC, "", b"2")
    with pytest.raises(StorageConflict, match="refuses 1 messages"):
        publisher.flush(10)
    publisher.flush(10)
    source = broker.source("a", Event())
    assert read(source, 1)[0].payload == b"2"
    publisher.close(1)
    source.close(1)


def test_until_partitions_are_assigned_the_source_says_what_it_waits_for(broker: KafkaBroker) -> None:
    source = broker.source("a", Event())
    assert source.reason == f"Kafka: waiting for partitions of {TOPIC}"
    assert source.lag() is None
    eventually(lambda: source.poll(1, 0.1) == [] and source.reason is None)
    source.close(1)
