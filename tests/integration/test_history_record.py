"""The recorder against a real Valkey: what came and when, and that a lost connection is counted."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
import redis

from services.history.record import CONTROL_CHANNEL, Recorder
from services.history.recording import RecordingWriter, read_recording
from services.history.replay import Message
from tests.support import eventually


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as made:
        yield made


@contextmanager
def recording(redis_url: str, folder: Path, messages: int) -> Iterator[Recorder]:
    """Record until the block has ended and so many messages have come; all are on disk afterwards."""
    stop, writer = Event(), RecordingWriter(folder)
    recorder = Recorder(redis_url, writer, stop)
    thread = Thread(target=recorder.run)
    thread.start()
    try:
        eventually(recorder.subscribed.is_set)
        yield recorder
        eventually(lambda: writer.messages == messages)
    finally:
        stop.set()
        thread.join()


def published(client: redis.Redis, channel: str, payload: bytes) -> None:
    """Publish once somebody hears it."""
    eventually(lambda: client.publish(channel, payload) > 0)


def test_market_data_and_control_events_are_kept_as_they_came_with_the_time(
    redis_url: str, client: redis.Redis, tmp_path: Path
) -> None:
    sent = [
        ("market_data:IBM", b'{"n":1}'),
        ("market_trades:BTC/USD", b"\xff no text"),
        (CONTROL_CHANNEL, b"{}"),
        ("market_data:IBM", b""),
    ]
    began = time.time()
    with recording(redis_url, tmp_path, len(sent)):
        for channel, payload in sent:
            published(client, channel, payload)
        client.publish("elsewhere", b"not the market's")
    ended = time.time()

    kept = list(read_recording(tmp_path))
    assert [(each.channel, each.payload) for each in kept] == sent
    times = [each.at for each in kept]
    assert times == sorted(times)
    assert began - 0.001 <= times[0] <= times[-1] <= ended + 0.001  # kept to the microsecond


def test_a_lost_connection_is_counted_and_what_comes_after_it_is_recorded(
    redis_url: str, client: redis.Redis, tmp_path: Path
) -> None:
    with recording(redis_url, tmp_path, 2) as recorder:
        published(client, "market_data:IBM", b"before")
        client.client_kill_filter(_type="pubsub")
        eventually(lambda: recorder.gaps == 1)
        published(client, "market_data:IBM", b"after")

    assert recorder.gaps == 1
    assert {each.payload for each in read_recording(tmp_path)} == {b"before", b"after"}


def test_an_end_that_was_asked_for_is_no_gap(redis_url: str, client: redis.Redis, tmp_path: Path) -> None:
    with recording(redis_url, tmp_path, 1) as recorder:
        published(client, "market_data:IBM", b"only")

    assert recorder.gaps == 0
    assert [each[1:] for each in read_recording(tmp_path)] == [Message(0.0, "market_data:IBM", b"only")[1:]]
