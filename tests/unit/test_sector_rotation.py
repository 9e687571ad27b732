"""Rotation over a group: each session ranks all of it, and holds its own while that is among the best."""

import json
import random
from collections.abc import Iterable

import pytest

from models.market_data import Bar
from strategies.sector_rotation import SectorRotation
from tests.unit.strategy_driver import Order, bars_of, play

GROUP = ("AAA", "BBB", "CCC")


def rotation(symbol: str = "AAA", **parameters: object) -> SectorRotation:
    given = {"symbols": ",".join(GROUP), "best": 1, "lookback": 1, "period": "bar", "cash": 1_000.0}
    return SectorRotation.build("strategy", symbol, "session", given | parameters)


def together(**closes: Iterable[float]) -> list[list[Bar]]:
    """The bars of several symbols, those of one moment in one list."""
    return [
        list(moment) for moment in zip(*(bars_of(each, name) for name, each in closes.items()), strict=True)
    ]


def held_after(orders: list[Order]) -> list[str]:
    return [action for _, action, _, _ in orders]


def test_it_watches_the_others_of_its_group() -> None:
    assert rotation("BBB").watched_symbols == ("AAA", "CCC")
    assert rotation("XXX").watched_symbols == GROUP


def test_only_the_best_is_held_and_it_changes_when_another_is_better() -> None:
    moments = together(AAA=[10, 11, 12, 12, 12], BBB=[10, 10, 10, 15, 20])
    bars = [bar for moment in moments for bar in moment]
    assert held_after(play(rotation("AAA", symbols="AAA,BBB"), bars)) == ["BUY", "SELL"]
    assert held_after(play(rotation("BBB", symbols="AAA,BBB"), bars)) == ["BUY"]


def test_nothing_that_fell_is_held_even_if_the_others_fell_more() -> None:
    moments = together(AAA=[10, 9.9, 9.8, 9.7], BBB=[10, 5, 3, 1])
    assert play(rotation("AAA", symbols="AAA,BBB"), [bar for moment in moments for bar in moment]) == []


@pytest.mark.parametrize("symbol", GROUP)
def test_the_order_of_the_bars_of_one_moment_changes_no_decision(symbol: str) -> None:
    chance = random.Random(7)  # noqa: S311 — not for secrets
    moments = together(**{name: [chance.uniform(9, 11) for _ in range(60)] for name in GROUP})
    decided = []
    for _ in range(5):
        strategy = rotation(symbol, lookback=3)
        for moment in moments:
            play(strategy, chance.sample(moment, len(moment)))
        decided.append([(signal.action, signal.timestamp, signal.price) for signal in strategy.sent_signals])
    times = [[(action, price) for action, _, price in each] for each in decided]
    assert len(times[0]) > 5
    assert all(each == times[0] for each in times)


def test_it_looks_once_a_month() -> None:
    strategy = rotation(period="month")
    bars = [
        bar for moment in together(AAA=range(10, 40), BBB=range(40, 10, -1), CCC=[5] * 30) for bar in moment
    ]
    assert held_after(play(strategy, bars)) == ["BUY"]
    strategy.group["AAA"].values = [20.0, 10.0, 10.0]
    play(strategy, bars[-3:])
    assert len(strategy.sent_signals) == 1


def test_what_was_refused_is_tried_again_on_the_next_bar_of_its_own() -> None:
    strategy = rotation()
    strategy.wanted, strategy.looked_at = True, "before"
    for bar in bars_of([10.0], "AAA"):
        strategy.on_bar(bar)
    assert [signal.action for signal in strategy.sent_signals] == ["BUY"]


def test_the_largest_group_over_the_longest_time_fits_into_what_is_saved() -> None:
    group = ",".join(f"S{number}" for number in range(14))
    strategy = rotation("AAA", symbols=group, lookback=200)
    chance = random.Random(1)  # noqa: S311 — not for secrets
    for name in ("AAA", *strategy.watched_symbols):
        for bar in bars_of((chance.uniform(100, 999) for _ in range(250)), name):
            strategy.on_bar(bar)
    assert len(json.dumps(strategy.get_state())) < 64 * 1024
