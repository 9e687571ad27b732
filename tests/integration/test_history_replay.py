"""The replay against a real Valkey: every message in order, at its pace, never faster than it is read."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event, Timer

import pytest
import redis
from redis.client import PubSub

from models.market_data import Bar
from services.demo.audience import ON_THEIR_WAY, Worker
from services.demo.failure import DemoFailed
from services.history import replay as replaying
from services.history.feed import message_of
from services.history.record import CONTROL_CHANNEL
from services.history.replay import (
    LARGEST_BATCH,
    Message,
    Replay,
    ReplayStalled,
    Subscribers,
    per_second,
    times,
)
from services.history.session_script import Rehearsal
from services.session_registry import REGISTRY

START = datetime(2000, 3, 1, tzinfo=UTC)
KEEPS_UP = Worker(delivered=lambda: 1_000_000, check=lambda: None)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, protocol=2) as made:
        yield made


@pytest.fixture
def listener(client: redis.Redis) -> Iterator[PubSub]:
    """Somebody who is subscribed, and reads when the test does."""
    with PubSub(client.connection_pool) as pubsub:
        pubsub.psubscribe("market_data:*")
        assert pubsub.get_message(timeout=5) is not None
        yield pubsub


def _bars(count: int) -> list[Bar]:
    return [
        Bar("IBM", "1d", 10.0, 11.0, 9.0, 10.5, 100.0, START + timedelta(days=day)) for day in range(count)
    ]


def _messages(count: int) -> list[Message]:
    return list(map(message_of, _bars(count)))


def test_every_bar_arrives_on_its_channel_in_order(client: redis.Redis, listener: PubSub) -> None:
    bars = _bars(700)
    assert list(Replay(client, map(message_of, bars), None).run(KEEPS_UP)) == [500, 700]
    messages = [listener.get_message(timeout=5) for _ in bars]
    assert [message and message["channel"] for message in messages] == [b"market_data:IBM"] * 700
    assert [Bar.decode(message["data"]) for message in messages if message] == bars


@pytest.mark.usefixtures("listener")
def test_a_pace_is_kept_over_the_whole_run(client: redis.Redis) -> None:
    started = time.monotonic()
    list(Replay(client, _messages(300), per_second(1000.0), grain=0.1).run(KEEPS_UP))
    assert 0.2 <= time.monotonic() - started < 20.0  # the last of three batches leaves after 0.2 s


@pytest.mark.usefixtures("listener")
def test_a_slow_pace_is_played_bar_by_bar(client: redis.Redis) -> None:
    assert list(Replay(client, _messages(3), per_second(50.0)).run(KEEPS_UP)) == [1, 2, 3]


def test_pauses_are_shortened_by_the_speed_and_to_the_longest_that_is_wanted() -> None:
    moments = [1000.0, 1002.0, 1002.0, 1001.0, 1601.0, 1611.0]
    real, fast, short = times(1.0), times(10.0), times(10.0, longest_pause=5.0)
    sent = [Message(at, "c", b"") for at in moments]
    assert [real(0, each) for each in sent] == [0.0, 2.0, 2.0, 2.0, 602.0, 612.0]
    assert [fast(0, each) for each in sent] == pytest.approx([0.0, 0.2, 0.2, 0.2, 60.2, 61.2])
    assert [short(0, each) for each in sent] == pytest.approx([0.0, 0.2, 0.2, 0.2, 5.2, 6.2])


@pytest.mark.usefixtures("listener")
def test_a_reader_who_lags_is_waited_for(client: redis.Redis) -> None:
    delivered = 0

    def slowly() -> int:
        nonlocal delivered
        delivered += 50
        return delivered

    played = Replay(client, _messages(5_000), None).run(Worker(slowly, lambda: None))
    assert max(published - delivered for published in played) <= ON_THEIR_WAY + LARGEST_BATCH


def test_what_the_server_keeps_for_a_subscriber_is_waited_for(
    client: redis.Redis, listener: PubSub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "STALLED_SECONDS", 0.2)
    more_than_the_kernel_keeps = [Message(0.0, "market_data:IBM", b"x" * 1_000)] * 20_000
    with pytest.raises(ReplayStalled, match="nobody reads on"):
        list(Replay(client, more_than_the_kernel_keeps, None).run(Subscribers(client)))
    assert listener.get_message(timeout=5) is not None  # cut off, this would raise


def test_what_nobody_hears_is_counted(client: redis.Redis) -> None:
    replay = Replay(client, _messages(3), None)
    assert list(replay.run(KEEPS_UP)) == [3]
    assert replay.unheard == 3


@pytest.mark.usefixtures("listener")
def test_a_worker_that_has_ended_is_noticed_at_the_next_batch(client: redis.Redis) -> None:
    def ended() -> None:
        raise DemoFailed("the worker ended")

    played = Replay(client, _messages(1_000), None).run(Worker(lambda: 0, ended))
    assert next(played) == LARGEST_BATCH
    with pytest.raises(DemoFailed, match="the worker ended"):
        next(played)


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [("subscribe", "STARTING", "RUNNING"), ("unsubscribe", "RUNNING", None)],
)
def test_what_follows_a_control_event_waits_until_a_worker_has_done_it(
    client: redis.Redis, action: str, before: str, after: str | None
) -> None:
    event = {"action": action, "symbol": "IBM", "type": "stock", "strategyId": "mock", "sessionId": "s1"}
    client.hset(REGISTRY, "s1", json.dumps({"state": before}))
    messages = [Message(0.0, CONTROL_CHANNEL, json.dumps(event).encode()), *_messages(1)]
    played = Replay(client, messages, None, heed=Rehearsal(client).wait).run(KEEPS_UP)
    assert next(played) == 1

    def work() -> None:
        if after is None:
            client.hdel(REGISTRY, "s1")
        else:
            client.hset(REGISTRY, "s1", json.dumps({"state": after}))
        done.set()

    done = Event()
    worker = Timer(0.1, work)
    worker.start()
    assert next(played) == 2
    assert done.is_set()
    worker.join()
