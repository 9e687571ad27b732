"""What a consumer group on a real Valkey is used for beyond the contract of streams."""

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
import redis

from models.errors import StorageConflict
from services.embedded import EmbeddedValkey
from services.intake.messages import Membership, MessageSource
from services.intake.redis_group import RedisGroup
from services.intake.redis_publisher import RedisPublisher
from services.intake.redis_source import RedisSource
from tests.streaming import CLAIM_SECONDS, GROUP, TOPIC, RedisBroker, read, write
from tests.support import eventually


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def broker(redis_url: str) -> RedisBroker:
    return RedisBroker(redis_url)


@pytest.fixture
def publisher(broker: RedisBroker) -> Iterator[RedisPublisher]:
    publisher = broker.publisher(Event())
    assert isinstance(publisher, RedisPublisher)
    yield publisher
    publisher.close(1)


@pytest.fixture
def source(broker: RedisBroker) -> Iterator[MessageSource]:
    source = broker.source("a", Event())
    yield source
    source.close(1)


def test_a_restarted_consumer_gets_its_own_messages_first_and_how_often_they_were_given(
    broker: RedisBroker, publisher: RedisPublisher
) -> None:
    write(publisher, 3)
    for life in (1, 2, 3):  # each ends without a close, as by a crash
        messages = read(broker.source("a", Event()), 3)
        assert [each.payload for each in messages] == [b"0", b"1", b"2"]
        assert {each.delivered for each in messages} == {life}
        write(publisher, 1, first=10 + life)


def test_a_message_that_was_given_back_does_not_count_as_tried(
    broker: RedisBroker, publisher: RedisPublisher
) -> None:
    write(publisher, 2)
    for name in ("a", "b", "a"):
        source = broker.source(name, Event())
        messages = read(source, 2)
        assert {each.delivered for each in messages} == {1}
        source.close(1)


def test_what_a_dead_consumer_had_is_claimed_while_the_living_keep_theirs(
    broker: RedisBroker, publisher: RedisPublisher
) -> None:
    write(publisher, 2)
    dead, alive, heir = (broker.source(name, Event()) for name in ("dead", "alive", "heir"))
    read(dead, 1)
    kept = read(alive, 1)
    claimed = []

    def dead_is_inherited() -> bool:
        assert alive.hold(kept, CLAIM_SECONDS / 4) == kept
        claimed.extend(heir.poll(10, 0.05))
        return bool(claimed)

    eventually(dead_is_inherited, 20)
    assert [(each.payload, each.delivered) for each in claimed] == [(b"0", 2)]


def test_a_message_that_somebody_took_over_is_no_longer_held(
    broker: RedisBroker, publisher: RedisPublisher, source: MessageSource
) -> None:
    write(publisher, 2)
    mine = read(source, 2)
    heir = broker.source("heir", Event())
    eventually(lambda: heir.poll(1, 0.1))
    eventually(lambda: len(source.hold(mine, 0.0)) == 1 or heir.poll(1, 0.1))
    assert len(source.hold(mine, 0.0)) < 2


def test_after_an_emptied_server_the_group_is_made_anew(
    client: Any, publisher: RedisPublisher, source: MessageSource
) -> None:
    write(publisher, 1)
    source.commit(read(source, 1))
    client.flushall()
    write(publisher, 2, first=1)
    assert [each.payload for each in read(source, 2)] == [b"1", b"2"]


def test_what_was_given_in_a_reply_that_never_came_is_read_after_the_outage(
    own_valkey: EmbeddedValkey,
) -> None:
    source = RedisSource(own_valkey.url, Membership(TOPIC, GROUP, "a"), Event())  # claims within no minute
    publisher = RedisPublisher(own_valkey.url, Event())
    write(publisher, 1)
    in_hand = read(source, 1)
    write(publisher, 2, first=1)
    with redis.Redis.from_url(own_valkey.url) as client:
        client.xreadgroup(GROUP, "a", {TOPIC: ">"})  # given to this consumer, which never sees it
    own_valkey.pause()
    assert source.poll(1, 0) == []
    assert source.reason
    own_valkey.resume()
    assert [each.payload for each in read(source, 2)] == [b"1", b"2"]
    assert source.poll(1, 0.1) == []
    source.commit(in_hand)
    assert source.lag() == 2
    source.close(1)
    publisher.close(1)


def test_messages_that_were_trimmed_unread_are_counted_as_lost(
    client: Any, broker: RedisBroker, publisher: RedisPublisher
) -> None:
    write(publisher, 3)
    read(broker.source("a", Event()), 3)
    client.xtrim(TOPIC, maxlen=1, approximate=False)
    restarted = broker.source("a", Event())
    assert [each.payload for each in read(restarted, 1)] == [b"2"]
    assert restarted.lost == 2
    restarted.poll(1, 0)
    assert client.xpending(TOPIC, GROUP)["pending"] == 1


def test_a_consumer_that_is_gone_is_forgotten_only_when_it_has_nothing(
    client: Any, redis_url: str, publisher: RedisPublisher, source: MessageSource
) -> None:
    write(publisher, 1)
    read(source, 1)
    client.xgroup_createconsumer(TOPIC, GROUP, "long gone")
    group = RedisGroup(redis_url, Membership(TOPIC, GROUP, "b"))
    group.forget_gone_consumers()
    assert len(client.xinfo_consumers(TOPIC, GROUP)) == 2
    group.forget_gone_consumers(idle_ms=-1)
    assert [each["name"] for each in client.xinfo_consumers(TOPIC, GROUP)] == [b"a"]
    group.close()


def test_a_stream_is_kept_at_about_its_length(client: Any, redis_url: str) -> None:
    publisher = RedisPublisher(redis_url, Event(), length=100)
    write(publisher, 1_000)
    assert 100 <= client.xlen(TOPIC) < 300
    publisher.close(1)


def test_more_than_may_wait_is_written_without_being_asked(client: Any, publisher: RedisPublisher) -> None:
    for number in range(10_001):
        publisher.publish(TOPIC, "", b"%d" % number)
    assert client.xlen(TOPIC) == 10_000


def test_a_topic_that_is_no_stream_is_refused_and_holds_nothing_up(
    client: Any, publisher: RedisPublisher
) -> None:
    client.set("a string", "x")
    publisher.publish("a string", "", b"1")
    publisher.publish(TOPIC, "", b"2")
    with pytest.raises(StorageConflict, match="refuses 1 messages: WRONGTYPE"):
        publisher.flush(5)
    assert client.xlen(TOPIC) == 1
    publisher.flush(5)


def test_an_entry_without_data_is_a_message_without_payload(client: Any, source: MessageSource) -> None:
    client.xadd(TOPIC, {"foreign": "field"})
    (message,) = read(source, 1)
    assert (message.payload, message.key) == (b"", "")
    assert message.id == str(message.place)


def test_the_reason_tells_no_password(redis_url: str) -> None:
    url = redis_url.replace("redis://", "redis://:hunter2secret@")
    source = RedisBroker(url).source("a", Event())
    assert isinstance(source, RedisSource)
    assert source.poll(1, 0) == []
    assert source.reason
    assert "hunter2secret" not in source.reason
