"""The subscription against a real server that is restarted, stopped, and refuses."""

import time
from threading import Event, Thread
from typing import Self

import pytest
import redis

from services.embedded import EmbeddedValkey
from services.subscription import Subscription
from tests.support import eventually


class Reader:
    """Owns a subscription and reads it on a thread, as the listeners do."""

    def __init__(self, url: str) -> None:
        self.messages: list[tuple[bytes, bytes]] = []
        self.subscribed: list[float | None] = []
        self.lost: list[str] = []
        self.turns = 0
        self.subscribed_at = 0.0
        self.stop = Event()
        self.subscription = Subscription(url, ("market_data:*", "control"), self)
        self.thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.subscription.wake()
        self.thread.join(10)
        self.subscription.close()
        assert not self.thread.is_alive()

    def on_subscribed(self, silent_seconds: float | None) -> None:
        self.subscribed_at = time.monotonic()
        self.subscribed.append(silent_seconds)

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)

    def _run(self) -> None:
        for batch in self.subscription.batches(self.stop):
            self.turns += 1
            self.messages += [(channel, payload) for _, _, channel, payload in batch]


def publish(url: str, channel: str, *payloads: str) -> None:
    with redis.Redis.from_url(url) as client:
        for payload in payloads:
            client.publish(channel, payload)


def test_messages_arrive_in_order_with_channel_and_payload(redis_url: str) -> None:
    with Reader(redis_url) as reader:
        eventually(lambda: reader.subscribed == [None])
        publish(redis_url, "market_data:BTC/USD", *(str(number) for number in range(500)))
        publish(redis_url, "control", "go")
        eventually(lambda: len(reader.messages) == 501)
    expected = [(b"market_data:BTC/USD", str(number).encode()) for number in range(500)]
    assert reader.messages == [*expected, (b"control", b"go")]


def test_a_quiet_connection_is_pinged_and_kept(redis_url: str) -> None:
    with Reader(redis_url) as reader:
        eventually(lambda: reader.subscribed)
        seen = time.monotonic()
        eventually(lambda: time.monotonic() - seen > 4.5)
        assert reader.lost == []
        publish(redis_url, "control", "still here")
        eventually(lambda: reader.messages == [(b"control", b"still here")])


def test_a_message_of_a_megabyte_arrives_whole(redis_url: str) -> None:
    large = "x" * 1_000_000
    with Reader(redis_url) as reader:
        eventually(lambda: reader.subscribed)
        publish(redis_url, "control", large, "after")
        eventually(lambda: len(reader.messages) == 2)
    assert reader.messages[0][1] == large.encode()


def test_a_restarted_server_is_subscribed_again_and_the_gap_is_told(own_valkey: EmbeddedValkey) -> None:
    with Reader(own_valkey.url) as reader:
        eventually(lambda: reader.subscribed == [None])
        own_valkey.restart()
        eventually(lambda: len(reader.subscribed) == 2)
        assert reader.lost
        assert reader.subscribed[1] is not None
        publish(own_valkey.url, "control", "back")
        eventually(lambda: reader.messages == [(b"control", b"back")])


def test_a_server_that_hangs_is_noticed_and_left(own_valkey: EmbeddedValkey) -> None:
    with Reader(own_valkey.url) as reader:
        eventually(lambda: reader.subscribed)
        own_valkey.pause()
        paused_at = time.monotonic()
        try:
            eventually(lambda: reader.lost)
            assert "not even the answer to a ping" in reader.lost[0]
            turns = reader.turns
            eventually(lambda: reader.turns > turns + 2)  # its thread goes on beating meanwhile
        finally:
            own_valkey.resume()
        eventually(lambda: len(reader.subscribed) == 2)
        silent_seconds = reader.subscribed[1]
        assert silent_seconds is not None  # since it was heard last, not since that was noticed
        assert silent_seconds + 1 > reader.subscribed_at - paused_at


def test_a_server_that_is_down_at_the_start_is_waited_for(own_valkey: EmbeddedValkey) -> None:
    own_valkey.kill()
    with Reader(own_valkey.url) as reader:
        eventually(lambda: reader.lost)
        own_valkey.restart()
        eventually(lambda: reader.subscribed)
        assert len(reader.lost) == 1  # told once, however many attempts it took


def test_a_refused_subscription_is_a_loss_and_heals_once_it_is_allowed(own_valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(own_valkey.url) as admin:
        admin.acl_setuser("default", enabled=True, reset_channels=True)
        with Reader(own_valkey.url) as reader:
            eventually(lambda: reader.lost)
            assert "NOPERM" in reader.lost[0] or "permission" in reader.lost[0]
            assert reader.subscribed == []
            admin.acl_setuser("default", enabled=True, channels=["*"])
            eventually(lambda: reader.subscribed)


@pytest.mark.parametrize("kills", [5])
def test_a_connection_that_is_cut_again_and_again_always_comes_back(redis_url: str, kills: int) -> None:
    with Reader(redis_url) as reader, redis.Redis.from_url(redis_url) as admin:
        for number in range(kills):
            eventually(lambda: len(reader.subscribed) == number + 1)  # noqa: B023 - waited for within the turn
            admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        eventually(lambda: len(reader.subscribed) == kills + 1)
        assert len(reader.lost) == kills


def test_wake_ends_the_wait_for_messages_at_once(redis_url: str) -> None:
    with Reader(redis_url) as reader:
        eventually(lambda: reader.subscribed)
        for _ in range(50):
            turns = reader.turns
            reader.subscription.wake()
            eventually(lambda: reader.turns > turns)  # noqa: B023 - waited for within the turn
