"""The replay against a real Valkey: every bar, in order, at its pace, and never faster than they are read."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis
from redis.client import PubSub

from models.market_data import Bar
from services.demo.failure import DemoFailed
from services.demo.replay import LARGEST_BATCH, ON_THEIR_WAY, Reader, Replay

START = datetime(2000, 3, 1, tzinfo=UTC)


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


def _keeps_up() -> Reader:
    return Reader(delivered=lambda: 1_000_000, check=lambda: None)


def test_every_bar_arrives_on_its_channel_in_order(client: redis.Redis, listener: PubSub) -> None:
    bars = _bars(700)
    assert list(Replay(client, bars, None).run(_keeps_up())) == [500, 700]
    messages = [listener.get_message(timeout=5) for _ in bars]
    assert [message and message["channel"] for message in messages] == [b"market_data:IBM"] * 700
    assert [Bar.decode(message["data"]) for message in messages if message] == bars


@pytest.mark.usefixtures("listener")
def test_a_pace_is_kept_over_the_whole_run(client: redis.Redis) -> None:
    started = time.monotonic()
    list(Replay(client, _bars(300), 1000.0).run(_keeps_up()))
    assert 0.2 <= time.monotonic() - started < 20.0  # the last of three batches leaves after 0.2 s


@pytest.mark.usefixtures("listener")
def test_a_slow_pace_is_played_bar_by_bar(client: redis.Redis) -> None:
    assert list(Replay(client, _bars(3), 5.0).run(_keeps_up())) == [1, 2, 3]


@pytest.mark.usefixtures("listener")
def test_a_reader_who_lags_is_waited_for(client: redis.Redis) -> None:
    delivered = 0

    def slowly() -> int:
        nonlocal delivered
        delivered += 50
        return delivered

    played = Replay(client, _bars(5_000), None).run(Reader(slowly, lambda: None))
    assert max(published - delivered for published in played) <= ON_THEIR_WAY + LARGEST_BATCH


def test_bars_that_nobody_hears_end_the_demo(client: redis.Redis) -> None:
    with pytest.raises(DemoFailed, match="3 bars were published while the worker was not subscribed"):
        list(Replay(client, _bars(3), None).run(_keeps_up()))


@pytest.mark.usefixtures("listener")
def test_a_worker_that_has_ended_is_noticed_at_the_next_batch(client: redis.Redis) -> None:
    def ended() -> None:
        raise DemoFailed("the worker ended")

    played = Replay(client, _bars(1_000), None).run(Reader(lambda: 0, ended))
    assert next(played) == LARGEST_BATCH
    with pytest.raises(DemoFailed, match="the worker ended"):
        next(played)
