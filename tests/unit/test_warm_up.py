"""Warming up: the bars right before the first live one, none missing, none twice, and no orders of it."""

import pytest

from models.errors import DecodeError
from models.market_data import Bar
from models.session import SessionState
from services.symbol_feed import (
    KEPT_AT_LEAST,
    KEPT_AT_MOST,
    MOST_TIMEFRAMES,
    MOST_TIMEFRAMES_KNOWN,
    SymbolFeed,
)
from tests.unit.state_world import Counting, World, bar, minutes


class Buying(Counting):
    """Buys on every bar."""

    name = "buying"
    buys_at = tuple(range(1_000))


class Idle(Counting):
    """Needs no warm-up, and remembers nothing."""

    warmup_bars = 0

    def get_state(self) -> dict[str, object]:
        return {}


class Failing(Counting):
    """Raises on the bars of some minutes."""

    fails_at: tuple[int, ...] = ()

    def on_bar(self, bar: Bar) -> None:
        super().on_bar(bar)
        if len(self.seen) - 1 in type(self).fails_at:
            raise ValueError(bar)


def test_the_first_session_of_a_symbol_begins_with_the_next_bar() -> None:
    world = World()
    strategy = world.start()
    world.bar(0)
    assert strategy.seen == minutes(0)
    assert world.described()["warmUpBars"] == 0


def test_a_later_one_is_told_of_the_last_bars_before_its_first_live_one() -> None:
    world = World()
    world.start("s1")
    for minute in range(10):
        world.bar(minute)
    strategy = world.start("s2")
    assert strategy.seen == minutes(5, 6, 7, 8, 9)
    assert world.described("s2")["state"] == "RUNNING"
    world.bar(10)
    assert strategy.seen == minutes(5, 6, 7, 8, 9, 10)
    assert (world.described("s2")["warmUpBars"], world.described("s2")["bars"]) == (5, 1)


def test_bars_that_come_between_its_start_and_its_place_in_the_table_are_not_missed() -> None:
    world = World()
    world.start("s1")
    world.idle = False  # letters wait
    world.bar(0)
    strategy = world.start("s2")
    assert world.described("s2")["state"] == "STARTING"
    world.bar(1)
    world.bar(2)
    assert strategy.seen == []
    world.deliver()
    world.bar(3)
    assert strategy.seen == minutes(0, 1, 2, 3)


def test_each_timeframe_is_warmed_up_in_the_order_of_time() -> None:
    world = World()
    world.start("s1")
    for minute in range(6):
        world.bar(minute)
        if minute % 5 == 0:
            world.bar(minute, timeframe="5m")
    assert world.start("s2").seen == ["5m 0", "1m 1", "1m 2", "1m 3", "1m 4", "1m 5", "5m 5"]


def test_what_it_sends_meanwhile_goes_nowhere_and_is_counted() -> None:
    world = World(Buying)
    world.start("s1")
    for minute in range(4):
        world.bar(minute)
    before = len(world.sent)
    strategy = world.start("s2")
    assert len(world.sent) == before
    assert strategy.position.expected == 0.0
    described = world.described("s2")
    assert (described["warmUpSignals"], described["signals"]) == (4, 0)
    world.bar(4)
    assert strategy.position.expected == 2.0
    assert world.sent[-1].session_key == "s2"


def test_a_signal_has_the_id_that_it_would_have_had_live() -> None:
    early, late = World(Buying), World(Buying)
    early.start("s2")
    late.start("s1")
    for minute in range(4):
        early.bar(minute)
        late.bar(minute)
    late.start("s2")
    early.bar(4)
    late.bar(4)
    assert early.sent[-1].signal_id == late.sent[-1].signal_id


def test_errors_while_warming_up_count_but_only_in_a_row() -> None:
    class EverySecond(Failing):
        warmup_bars = 10
        fails_at: tuple[int, ...] = ()

    world = World(EverySecond)
    world.start("s1")
    for minute in range(10):
        world.bar(minute)
    EverySecond.fails_at = (0, 2, 4, 6, 9)
    world.start("s2")
    assert world.session("s2").state is SessionState.RUNNING
    assert len(world.errors) == 5
    EverySecond.fails_at = (0, 2, 4, 6, 9, 10, 11)  # with the last of the warm-up: three in a row
    world.bar(10)
    world.bar(11)
    assert world.session("s2").state is SessionState.ERROR


def test_a_session_that_fails_while_warming_up_is_never_routed() -> None:
    world = World(Failing)
    world.start("s1")
    for minute in range(10):
        world.bar(minute)
    Failing.fails_at = tuple(range(10))
    try:
        strategy = world.start("s2")
    finally:
        Failing.fails_at = ()
    assert world.session("s2").state is SessionState.ERROR
    world.bar(10)
    assert strategy.seen == minutes(5, 6, 7)


def test_a_session_stopped_before_its_turn_came_is_never_routed() -> None:
    world = World()
    world.start("s1")
    world.bar(0)
    world.idle = False
    strategy = world.start("s2")
    world.manager.stop_session("s2")
    world.deliver()
    world.bar(1)
    assert strategy.seen == []
    assert [each.identity.key for each in world.router.table[b"market_data:AAPL"].sessions] == ["s1"]


@pytest.mark.parametrize("wanted", [0, -1])
def test_who_wants_no_warm_up_has_none(wanted: int) -> None:
    world = World()
    world.start("s1")
    world.bar(0)
    Counting.warmup_bars = wanted
    try:
        assert world.start("s2").seen == []
    finally:
        Counting.warmup_bars = 5


def test_a_session_that_comes_back_is_told_only_of_bars_that_its_state_has_not_seen() -> None:
    world = World()
    world.start("s1")
    world.start("s2")
    for minute in range(4):
        world.bar(minute)
    world.manager.stop_session("s2")
    for minute in range(4, 7):
        world.bar(minute)
    strategy = world.start("s2")
    assert strategy.seen == minutes(0, 1, 2, 3, 4, 5, 6)
    assert world.described("s2")["stateRestored"]


def test_one_that_saves_no_state_is_warmed_up_in_full() -> None:
    class Forgetful(Counting):
        def get_state(self) -> dict[str, object]:
            return {}

    world = World(Forgetful)
    world.start("s1")
    world.start("s2")
    for minute in range(8):
        world.bar(minute)
    world.manager.stop_session("s2")
    assert world.start("s2").seen == minutes(3, 4, 5, 6, 7)


def fed(count: int, *timeframes: str, kept: int = 0) -> SymbolFeed:
    feed = SymbolFeed("AAPL")
    feed.keep(kept)
    for minute in range(count):
        for timeframe in timeframes:
            (feed.recent.get(timeframe) or feed.begin(timeframe)).append(bar(minute, timeframe=timeframe))
    return feed


def test_a_feed_keeps_a_hundred_bars_where_nobody_asks_for_more() -> None:
    feed = fed(500, "1m", kept=7)
    assert len(feed.recent["1m"]) == KEPT_AT_LEAST
    assert feed.warm_up_bars(2, {}) == [bar(498), bar(499)]


def test_a_feed_keeps_what_is_asked_for_up_to_a_thousand() -> None:
    assert len(fed(5_000, "1m", kept=300).recent["1m"]) == 300
    assert len(fed(5_000, "1m", kept=10**9).recent["1m"]) == KEPT_AT_MOST


def test_asking_for_more_loses_nothing_that_is_there() -> None:
    feed = fed(150, "1m")
    before = list(feed.recent["1m"])
    feed.keep(400)
    feed.keep(200)
    assert list(feed.recent["1m"]) == before
    assert feed.recent["1m"].maxlen == 400


def test_a_publisher_that_invents_timeframes_gets_no_more_memory_for_it() -> None:
    feed = fed(200, *(f"{number}x" for number in range(MOST_TIMEFRAMES_KNOWN)), kept=1_000)
    kept = sum(len(bars) for bars in feed.recent.values())
    assert kept == MOST_TIMEFRAMES * 200 + (MOST_TIMEFRAMES_KNOWN - MOST_TIMEFRAMES)
    feed.keep(KEPT_AT_MOST)
    assert feed.recent["63x"].maxlen == 1
    with pytest.raises(DecodeError, match="too_many_timeframes"):
        feed.begin("64x")


def test_the_bars_of_a_symbol_go_with_its_last_session() -> None:
    world = World(Idle)
    world.start("s1")
    world.bar(0)
    world.manager.stop_sessions()
    assert world.router.feed("AAPL").recent == {}
    world.strategy = Counting
    assert world.start("s2").seen == []
