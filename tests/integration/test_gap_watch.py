"""Gaps as sessions hear of them, through a real data thread."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from models.gap import Gap
from models.market_data import Bar, Trade
from models.session import SessionIdentity
from models.signal import Signal
from services.data_consumer import DataConsumer
from services.dead_letters import DeadLetters
from services.mailbox import Mailbox
from services.routing import Router
from services.session import Session, SessionHost
from services.symbol_feed import MOST_TIMEFRAMES_KNOWN
from services.turn import Errand, Turn
from services.warm_up import join
from strategies.base_strategy import BaseStrategy
from tests.support import eventually

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)


class Diary(BaseStrategy):
    """Writes down, in order, everything that it is told, and sends a signal with every bar."""

    name = "diary"

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.entries: list[Any] = []

    def on_bar(self, bar: Bar) -> None:
        self.entries.append(("bar", round((bar.timestamp - NOON) / timedelta(minutes=1))))
        self.send_signal("BUY", bar.close, 1)

    def on_trade(self, trade: Trade) -> None:
        self.entries.append(("trade", trade.seq))

    def on_gap(self, gap: Gap) -> None:
        self.entries.append((gap.stream, gap.reason, gap.missed))


class World:
    """A data thread with two sessions, of which one listens to another symbol."""

    def __init__(self, redis_url: str) -> None:
        self.turn, self.router, self.mailbox = Turn(), Router(), Mailbox()
        self.consumer = DataConsumer(redis_url, self.turn, self.router, self.mailbox, DeadLetters(redis_url))
        self.redis = redis.Redis.from_url(redis_url)
        self.barred: list[str | None] = []
        self.diary, self.other = Diary("d", "AAPL"), Diary("o", "MSFT")
        for diary in (self.diary, self.other):
            self._add(diary)

    def _add(self, diary: Diary) -> None:
        host = SessionHost(
            submit=self._submit,
            post=self.mailbox.post,
            unroute=self.router.remove,
            count_error=lambda _: None,
            changed=lambda _: None,
            max_errors=3,
        )
        identity = SessionIdentity(
            key=diary.strategy_id,
            symbol=diary.symbol,
            asset_type="stock",
            strategy_id="diary",
            session_id=None,
            started_at=NOON,
        )
        session = Session(identity, diary, host)
        session.hand_over(self.turn)
        self.mailbox.post(session, Errand(lambda joining: join(joining, self.router, self.turn)))

    def _submit(self, _signal: Signal, _received_at: float, barred: str | None) -> str | None:
        self.barred.append(barred)
        return None

    def bar(self, minute: int, **more: Any) -> None:
        moment = (NOON + timedelta(minutes=minute)).isoformat()
        fields = {
            "symbol": "AAPL",
            "timeframe": "1m",
            "open": 1,
            "high": 1,
            "low": 1,
            "close": 1,
            "volume": 1,
        }
        self.redis.publish("market_data:AAPL", json.dumps({**fields, "timestamp": moment, **more}))

    def trade(self, seq: int, **more: Any) -> None:
        moment = (NOON + timedelta(seconds=seq)).isoformat()
        fields = {"symbol": "AAPL", "price": 1, "size": 1, "timestamp": moment, "seq": seq, "epoch": 1}
        self.redis.publish("market_trades:AAPL", json.dumps({**fields, **more}))

    def wrote(self, *entries: Any) -> None:
        eventually(lambda: len(self.diary.entries) >= len(entries))
        assert self.diary.entries == list(entries)


@pytest.fixture
def world(redis_url: str) -> Iterator[World]:
    world = World(redis_url)
    world.consumer.start()
    eventually(lambda: world.consumer.subscribed)
    eventually(lambda: len(world.router.table) == 4)
    yield world
    assert world.consumer.stop(10)


def test_numbers_make_a_gap_exact_and_it_is_told_before_the_bar_after_it(world: World) -> None:
    for minute in (0, 1, 5, 6):
        world.bar(minute, seq=minute + 100, epoch=1)
    world.wrote(("bar", 0), ("bar", 1), ("bars", "sequence", 3), ("bar", 5), ("bar", 6))
    assert world.consumer.counters.gaps == {"bars": 1}
    assert world.other.entries == []


def test_a_number_seen_before_is_dropped_as_a_duplicate(world: World) -> None:
    for seq in (1, 2, 2, 1, 3):
        world.trade(seq)
    world.wrote(("trade", 1), ("trade", 2), ("trade", 3))
    assert world.consumer.counters.dropped["duplicate"] == 2


def test_missing_bars_are_noticed_without_numbers(world: World) -> None:
    for minute in (0, 1, 4):
        world.bar(minute)
    world.wrote(("bar", 0), ("bar", 1), ("bars", "missing_bars", 2), ("bar", 4))


def test_a_lost_connection_is_told_to_every_session(world: World) -> None:
    world.bar(0)
    eventually(lambda: world.diary.entries)
    world.redis.client_kill_filter(_type="pubsub")
    eventually(lambda: world.other.entries)
    world.wrote(("bar", 0), ("connection", "connection_lost", None))
    assert world.consumer.counters.gaps == {"bars": 1, "trades": 1}


def test_the_number_of_a_bar_that_comes_twice_is_used_up(world: World) -> None:
    for minute, seq in ((0, 1), (1, 2), (1, 3), (2, 4)):
        world.bar(minute, seq=seq, epoch=1)
    world.wrote(("bar", 0), ("bar", 1), ("bar", 2))
    world.bar(2, seq=7, epoch=1)
    world.bar(3, seq=8, epoch=1)
    world.wrote(("bar", 0), ("bar", 1), ("bar", 2), ("bars", "sequence", 2), ("bar", 3))
    assert world.consumer.counters.gaps == {"bars": 1}
    assert world.consumer.counters.dropped["duplicate"] == 2


def test_what_is_missing_after_a_lost_connection_is_told_and_counted_once(world: World) -> None:
    for minute in (0, 1):
        world.bar(minute)
        world.bar(minute, timeframe="5m", timestamp=(NOON + timedelta(minutes=5 * minute)).isoformat())
    world.trade(1)
    eventually(lambda: len(world.diary.entries) == 5)
    world.redis.client_kill_filter(_type="pubsub")
    eventually(lambda: len(world.diary.entries) == 6)
    assert world.consumer.counters.gaps == {"bars": 1, "trades": 1}
    world.bar(4)
    world.bar(4, timeframe="5m", timestamp=(NOON + timedelta(minutes=20)).isoformat())
    world.trade(4)
    eventually(lambda: len(world.diary.entries) == 12)
    missed = [entry for entry in world.diary.entries[6:] if entry[0] != "bar"]
    assert missed == [
        ("bars", "missing_bars", 2),
        ("bars", "missing_bars", 2),
        ("trades", "sequence", 2),
        ("trade", 4),
    ]
    assert world.consumer.counters.gaps == {"bars": 1, "trades": 1}
    world.bar(7)
    eventually(lambda: world.diary.entries[-1] == ("bar", 7))
    assert world.consumer.counters.gaps == {"bars": 2, "trades": 1}


@pytest.mark.parametrize("ahead", [timedelta(hours=25), timedelta(days=365_000)])
def test_a_message_from_the_far_future_silences_nobody(world: World, ahead: timedelta) -> None:
    later = (datetime.now(UTC) + ahead).isoformat()
    world.bar(0)
    world.bar(1, timestamp=later)
    world.bar(1, timeframe="1d", timestamp=later)
    world.trade(1, timestamp=later)
    world.bar(1)
    world.trade(1)
    world.wrote(("bar", 0), ("bar", 1), ("trade", 1))
    assert world.consumer.counters.rejected == {"future": 3}


def test_a_publisher_whose_clock_is_an_hour_ahead_is_heard(world: World) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    world.bar(0, timestamp=soon)
    world.trade(1, timestamp=soon)
    eventually(lambda: len(world.diary.entries) == 2)


def test_a_number_beyond_all_counting_silences_nobody(world: World) -> None:
    world.bar(0, seq=1)
    world.bar(1, seq=2**63)
    world.bar(1, seq=2)
    world.wrote(("bar", 0), ("bar", 1))
    assert world.consumer.counters.rejected == {"invalid_value": 1}


@pytest.mark.parametrize("timeframe", ["", "x" * 17, "1 m", "1m\n", "½m", "m|1"])
def test_a_timeframe_that_is_none_is_refused(world: World, timeframe: str) -> None:
    world.bar(0, timeframe=timeframe)
    world.bar(0)
    world.wrote(("bar", 0))
    assert world.consumer.counters.rejected == {"invalid_value": 1}


@pytest.mark.parametrize(
    "timeframe", ["1m", "15m", "1h", "1d", "1D", "1w", "1M", "tick", "60", "1Min", "x" * 16]
)
def test_a_timeframe_may_be_called_as_publishers_call_it(world: World, timeframe: str) -> None:
    world.bar(0, timeframe=timeframe)
    world.wrote(("bar", 0))


def test_a_symbol_has_no_more_timeframes_than_a_publisher_can_mean(world: World) -> None:
    for number in range(MOST_TIMEFRAMES_KNOWN + 3):
        world.bar(number, timeframe=f"{number + 1}x")
    world.bar(number + 1, timeframe="1x")
    eventually(lambda: len(world.diary.entries) == MOST_TIMEFRAMES_KNOWN + 1)
    assert world.consumer.counters.rejected == {"too_many_timeframes": 3}


def test_a_fenced_session_sends_nothing_until_a_whole_interval_was_seen(world: World) -> None:
    world.consumer.gaps.fences = True
    for minute in (0, 1, 5, 6, 7):
        world.bar(minute)
    eventually(lambda: len(world.barred) == 5)
    assert world.barred == [None, None, "gap_fence", None, None]


def test_a_silent_feed_is_known_by_its_symbol(world: World) -> None:
    world.bar(0)
    eventually(lambda: world.diary.entries)
    silent = eventually(lambda: world.router.silent(0.5))
    assert silent.keys() <= {"AAPL", "MSFT"}
    assert world.router.silent(0) == {}
    assert world.router.silent(3600) == {}
