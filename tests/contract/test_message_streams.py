"""What both transports of streams do: Redis Streams on a real Valkey, Kafka on librdkafka's mock cluster."""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Timer

import pytest

from models.errors import StorageUnavailable
from services.intake.messages import Message, MessagePublisher, MessageSource
from tests.kafka_mock import MockKafka
from tests.streaming import (
    TOPIC,
    Broker,
    KafkaBroker,
    RedisBroker,
    payloads_of,
    read,
    write,
)
from tests.support import eventually, running_process

READER = """
import sys
from threading import Event
from tests.streaming import KafkaBroker, RedisBroker, read
kind, address, count, committed = sys.argv[1:]
broker = KafkaBroker(address) if kind == "kafka" else RedisBroker(address)
source = broker.source("killed", Event())
messages = read(source, int(count))
source.commit(messages[: int(committed)])
source.poll(1, 0.5)
print("read", flush=True)
Event().wait()
"""


class Stage:
    """A broker with everything that a test opens on it, closed at its end."""

    def __init__(self, broker: Broker, address: str, kind: str) -> None:
        self.broker = broker
        self.address = address
        self.kind = kind
        self.stop = Event()
        self._opened: list[MessageSource | MessagePublisher] = []

    def source(self, consumer: str = "a") -> MessageSource:
        self._opened.append(source := self.broker.source(consumer, self.stop))
        return source

    def publisher(self) -> MessagePublisher:
        self._opened.append(publisher := self.broker.publisher(self.stop))
        return publisher

    def close(self) -> None:
        for each in self._opened:
            each.close(0.2)


@pytest.fixture(params=["redis", "kafka"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        stage = Stage(RedisBroker(url), url, "redis")
        yield stage
        stage.close()
    else:
        yield from _on_kafka()


@pytest.fixture(params=["redis", "kafka"])
def fragile(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage whose broker may go away."""
    if request.param == "redis":
        server = request.getfixturevalue("own_valkey")
        stage = Stage(RedisBroker(server.url, server), server.url, "redis")
        yield stage
        stage.close()
    else:
        yield from _on_kafka()


def _on_kafka() -> Iterator[Stage]:
    with MockKafka() as cluster:
        cluster.make_topic(TOPIC)
        stage = Stage(KafkaBroker(cluster.servers, cluster), cluster.servers, "kafka")
        yield stage
        stage.close()


def test_messages_arrive_as_they_were_written_and_in_the_order_of_their_key(stage: Stage) -> None:
    publisher = stage.publisher()
    written = write(publisher, 200)
    publisher.publish(TOPIC, "", b"\x00\xff\r\n")
    publisher.flush(10)
    messages = read(stage.source(), 201)
    by_key: defaultdict[str, list[bytes]] = defaultdict(list)
    for each in messages:
        by_key[each.key].append(each.payload)
    assert by_key.pop("") == [b"\x00\xff\r\n"]
    assert by_key == {f"k{rest}": written[rest::3] for rest in range(3)}
    assert len({each.id for each in messages}) == len({each.place for each in messages}) == 201
    assert {each.delivered for each in messages} == {1}


def test_what_was_committed_does_not_come_again_and_what_was_not_does(stage: Stage) -> None:
    written = write(stage.publisher(), 9)
    first = stage.source()
    messages = read(first, 9)
    first.commit(messages[:4])
    first.close(5)
    first.close(5)
    follower = stage.source("b")
    assert payloads_of(read(follower, 5)) == payloads_of(messages[4:])
    assert follower.poll(1, 0.1) == []
    assert payloads_of(messages) == written


def test_a_message_that_is_done_before_an_earlier_one_skips_nothing(stage: Stage) -> None:
    publisher = stage.publisher()
    for payload in (b"1", b"2", b"3"):
        publisher.publish(TOPIC, "one key", payload)
    publisher.flush(10)
    source = stage.source()
    messages = read(source, 3)
    source.commit(messages[1:])
    source.close(5)
    assert read(stage.source("b"), 1)[0].payload == b"1"


def test_what_was_polled_is_not_given_twice_while_it_is_in_hand(stage: Stage) -> None:
    write(stage.publisher(), 20)
    source = stage.source()
    in_hand = read(source, 8)
    others = read(source, 12)
    assert len({each.place for each in in_hand + others}) == 20
    assert source.poll(1, 0.1) == []


def test_a_batch_is_bounded_by_count_and_by_time(stage: Stage) -> None:
    publisher, source = stage.publisher(), stage.source()
    write(publisher, 5)
    assert len(read(source, 1)) == 1  # the group is joined now
    assert len(source.poll(3, 100.0, gather=100.0)) == 3
    write(publisher, 2)
    started = time.monotonic()
    assert len(source.poll(1_000, 100.0, gather=0.5)) == 3
    assert time.monotonic() - started >= 0.5


def test_a_stop_ends_a_wait_and_what_was_gathered_is_given(stage: Stage) -> None:
    source = stage.source()
    write(stage.publisher(), 3)
    assert read(source, 1)
    started = time.monotonic()
    Timer(0.2, stage.stop.set).start()
    assert len(source.poll(1_000, 100.0, gather=100.0)) == 2
    assert time.monotonic() - started < 50
    assert source.poll(1, 100.0) == []


def test_a_killed_consumer_leaves_its_messages_to_another_one(stage: Stage) -> None:
    write(stage.publisher(), 10)
    command = [sys.executable, "-c", READER, stage.kind, stage.address, "10", "4"]
    with running_process(command) as reader:
        reader.said("read")
        reader.kill()
        reader.wait()
    assert len(read(stage.source("b"), 6)) == 6


def test_consumers_of_a_group_share_the_work(request: pytest.FixtureRequest) -> None:
    with MockKafka(gathering_ms=500) as cluster:
        cluster.make_topic(TOPIC)
        for broker in (RedisBroker(request.getfixturevalue("redis_url")), KafkaBroker(cluster.servers)):
            _share(broker)


def _share(broker: Broker) -> None:
    stop = Event()
    sources = [broker.source(name, stop) for name in ("a", "b")]
    publisher = broker.publisher(stop)
    taken: dict[int, list[Message]] = {0: [], 1: []}
    written: list[bytes] = []

    def consume(number: int) -> None:
        while not stop.is_set():
            messages = sources[number].poll(10, 0.1)
            sources[number].commit(messages)
            taken[number] += messages
        sources[number].close(5)

    with ThreadPoolExecutor() as pool:
        consumers = [pool.submit(consume, number) for number in (0, 1)]
        try:
            eventually(lambda: all(each.reason is None for each in sources), 20)

            def shared() -> bool:
                written.extend(write(publisher, 20, first=len(written), keys=20))
                return bool(taken[0] and taken[1])

            eventually(shared, 20)
            eventually(lambda: len(taken[0]) + len(taken[1]) >= len(written), 20)
        finally:
            stop.set()
        for each in consumers:
            each.result()
    publisher.close(1)
    assert payloads_of(taken[0] + taken[1]) == written
    assert taken[0]
    assert taken[1]


def test_messages_wait_while_they_are_held_and_stay_with_their_consumer(stage: Stage) -> None:
    publisher, source = stage.publisher(), stage.source()
    write(publisher, 4)
    messages = read(source, 4)
    later = Timer(0.2, write, (publisher, 2))
    later.start()
    started = time.monotonic()
    assert source.hold(messages, 0.4) == messages
    assert time.monotonic() - started >= 0.4
    later.join()
    source.commit(messages)
    assert len(read(source, 2)) == 2


def test_the_lag_is_what_was_not_committed_yet(stage: Stage) -> None:
    publisher, source = stage.publisher(), stage.source()
    write(publisher, 10)
    messages = read(source, 4)
    source.commit(messages)
    eventually(lambda: source.lag() == 6)
    source.commit(read(source, 6))
    eventually(lambda: source.lag() == 0)


def test_reading_and_writing_go_on_when_the_broker_is_back(fragile: Stage) -> None:
    publisher, source = fragile.publisher(), fragile.source()
    first = write(publisher, 3)
    before = read(source, 3)
    fragile.broker.go_away()
    source.commit(before)
    publisher.publish(TOPIC, "k", b"3")
    with pytest.raises(StorageUnavailable, match="1 messages are not written"):
        publisher.flush(0.5)
    eventually(lambda: source.poll(1, 0.1) == [] and source.reason is not None, 20)
    fragile.broker.come_back()
    publisher.flush(20)
    after = read(source, 1) + source.poll(1_000, 0.2)  # it may be there twice, under one id
    assert payloads_of(before) == first
    assert {each.payload for each in after} == {b"3"}
    assert len({each.id for each in after}) == 1
    assert source.reason is None
    source.commit(after)
    source.close(10)
    follower = fragile.source("b")
    write(publisher, 1, first=4)
    assert read(follower, 1)[0].payload == b"4"
