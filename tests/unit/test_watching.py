"""A strategy that watches further symbols: told of them like of its own, through every change of its life."""

from typing import Any

import pytest

from models.errors import StrategyRejected
from models.market_data import Bar, Trade
from models.session import SessionState
from services.routing import BAR_CHANNEL, TRADE_CHANNEL, sessions_of
from strategies.base_strategy import BaseStrategy
from strategies.watching import MOST_WATCHED, watched_by
from tests.unit.state_world import World, bar


class Watching(BaseStrategy):
    """Notes the bars of AAPL, its own, and of MSFT and IBM."""

    watched_symbols = ("MSFT", "IBM", "AAPL")

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.told: list[tuple[str, int]] = []
        self.fails = False

    def on_bar(self, bar: Bar) -> None:
        self.told.append((bar.symbol, bar.timestamp.minute))
        if self.fails:
            raise ValueError(bar.symbol)

    def on_trade(self, trade: Trade) -> None: ...

    def get_state(self) -> dict[str, Any]:
        return {"told": self.told}

    def set_state(self, state: dict[str, Any]) -> None:
        self.told = [(symbol, minute) for symbol, minute in state["told"]]


class Warmed(Watching):
    """The same, after three bars of each symbol."""

    warmup_bars = 3


def test_it_is_told_of_the_bars_and_trades_of_each_of_its_symbols_and_of_no_other() -> None:
    world = World(Watching)
    strategy = world.start()
    for minute, symbol in enumerate(("AAPL", "MSFT", "FB", "IBM")):
        world.bar(minute, symbol)
    assert strategy.told == [("AAPL", 0), ("MSFT", 1), ("IBM", 3)]
    assert world.described()["watchedSymbols"] == ["MSFT", "IBM"]
    for symbol in ("AAPL", "MSFT", "IBM"):
        assert world.router.table[TRADE_CHANNEL + symbol.encode()].sessions == (world.session(),)


def test_what_it_decides_is_of_its_own_symbol() -> None:
    world = World(Watching)
    strategy = world.start()
    strategy.on_bar = lambda bar: strategy.send_signal("BUY", bar.close, 1)
    world.session().on_bar = strategy.on_bar
    world.bar(0, "MSFT")
    world.bar(0, "AAPL")
    assert [signal.symbol for signal in world.sent] == ["AAPL", "AAPL"]
    assert len({signal.signal_id for signal in world.sent}) == 2


def test_once_stopped_it_is_told_of_none_of_them() -> None:
    world = World(Watching)
    strategy = world.start()
    world.manager.stop_session("s1")
    world.deliver()
    for symbol in ("AAPL", "MSFT", "IBM"):
        world.bar(0, symbol)
    assert strategy.told == []
    assert not world.router.table


def test_once_given_up_it_is_told_of_none_of_them() -> None:
    world = World(Watching)
    strategy = world.start()
    strategy.fails = True
    for minute in range(5):
        world.bar(minute, "MSFT")
    assert world.session().state is SessionState.ERROR
    assert len(strategy.told) == 3
    assert not world.router.table


def test_once_another_worker_has_it_it_is_told_of_none_of_them() -> None:
    world = World(Watching)
    world.start()
    world.manager.stand_by("s1", "runs on worker other")
    assert not world.router.table


def test_one_that_stops_leaves_the_others_of_a_watched_symbol() -> None:
    world = World(Watching)
    world.start("s1")
    world.start("s2", "MSFT")
    world.manager.stop_session("s1")
    world.deliver()
    assert sessions_of(world.router.table, "MSFT") == (world.session("s2"),)
    assert sessions_of(world.router.table, "AAPL") == (world.session("s2"),)


def test_it_is_warmed_up_with_the_bars_of_all_its_symbols_in_the_order_of_time() -> None:
    world = World(Warmed)
    for key, symbol in (("a", "AAPL"), ("b", "MSFT")):
        world.start(key, symbol)
    for minute in range(5):
        world.bar(minute, "AAPL")
        world.bar(minute, "MSFT")
    assert world.start("s2").told == [(symbol, minute) for minute in (2, 3, 4) for symbol in ("AAPL", "MSFT")]


def test_a_restored_one_is_told_of_no_bar_of_any_symbol_twice() -> None:
    world = World(Warmed)
    world.start("other", "IBM")
    strategy = world.start()
    world.bar(0, "AAPL")
    world.bar(1, "MSFT")
    world.save()
    world.manager.stop_session("s1")
    world.deliver()
    world.bar(2, "MSFT")
    again = world.start()
    assert again.told == [*strategy.told, ("MSFT", 2)]


def test_what_a_restored_one_has_seen_is_told_apart_by_symbol() -> None:
    world = World(Warmed)
    world.start("other", "MSFT")
    strategy = world.start()
    world.bar(5, "AAPL")
    world.save()
    world.manager.stop_session("s1")
    world.deliver()
    world.bar(3, "MSFT")  # earlier than what was seen, of another symbol
    assert world.start().told == [*strategy.told, ("MSFT", 3)]


def test_a_gap_of_a_watched_symbol_fences_it_too() -> None:
    world = World(Watching)
    strategy = world.start()
    world.bar(0, "MSFT")
    world.router.feed("MSFT").fenced_for = set()
    strategy.send_signal("BUY", 100.0, 1)
    world.deliver()
    assert world.described()["outcomes"] == {"refused": 1}


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ("MSFT", "must be a list or tuple of symbols"),
        (7, "must be a list or tuple of symbols"),
        (["MS FT"], "holds 'MS FT', which is no symbol"),
        ([7], "holds 7, which is no symbol"),
        ([f"S{number}" for number in range(MOST_WATCHED + 1)], "at most 100"),
    ],
)
def test_what_are_no_symbols_is_refused_with_what_to_do(asked: Any, problem: str) -> None:
    strategy = Watching("strategy", "AAPL")
    strategy.watched_symbols = asked
    with pytest.raises(StrategyRejected, match=problem):
        watched_by(strategy)


def test_a_strategy_that_watches_nothing_has_one_route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watching, "watched_symbols", ())
    world = World(Watching)
    world.start()
    assert set(world.router.table) == {BAR_CHANNEL + b"AAPL", TRADE_CHANNEL + b"AAPL"}
    assert bar(0).symbol == "AAPL"
