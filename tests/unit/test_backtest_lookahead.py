"""The look-ahead check: it finds what peeks, and nothing where nobody does."""

from typing import ClassVar

import pytest

from models.errors import ConfigError
from models.market_data import Bar
from services.history.lookahead import compare
from services.history.options import BacktestOptions
from strategies.registry import BUILT_IN
from tests.unit.playing import MINUTE, Scripted, bars_from

PRICES = [(100.0 + (n * n) % 17, 100.0 + (n * n * n) % 23) for n in range(300)]


class Peeks(Scripted):
    """Keeps what it saw in its class: the next time it is played it knows what comes."""

    name = "peeks"
    known: ClassVar[dict[object, float]] = {}

    def on_bar(self, bar: Bar) -> None:
        self.known[bar.timestamp] = bar.close
        coming = self.known.get(bar.timestamp + MINUTE)
        if coming is not None and coming > bar.close and not self.position.expected:
            self.send_signal("BUY", bar.close, 1.0)


class LooksBack(Scripted):
    """The same with the bar before."""

    name = "looks_back"

    def on_bar(self, bar: Bar) -> None:
        before, self.told = self.told, [bar]  # type: ignore[list-item]  # a place to keep it
        if before and before[0].close < bar.close and not self.position.expected:  # type: ignore[attr-defined]
            self.send_signal("BUY", bar.close, 1.0)


def test_a_strategy_that_knows_the_future_is_found() -> None:
    Peeks.known.clear()

    changes = compare(Peeks, bars_from(PRICES), BacktestOptions()).changes

    assert len(changes) == 10
    assert changes[0].whole is None
    assert changes[0].truncated is not None
    assert "nothing; with nothing after" in str(changes[0])


def test_a_decision_that_only_differs_in_its_size_is_found() -> None:
    class SizesByWhatComes(Scripted):
        name = "sizes_by_what_comes"
        lengths: ClassVar[list[int]] = []

        def on_start(self) -> None:
            self.lengths.append(0)

        def on_bar(self, bar: Bar) -> None:
            self.lengths[-1] += 1
            if self.lengths[-1] == 2:
                self.send_signal("BUY", bar.close, float(len(self.lengths)))

    changes = compare(SizesByWhatComes, bars_from(PRICES), BacktestOptions(), cuts=2).changes

    assert [
        (each.whole and each.whole.quantity, each.truncated and each.truncated.quantity) for each in changes
    ] == [
        (1.0, 2.0),
        (1.0, 3.0),
    ]


def test_a_strategy_that_looks_back_is_not() -> None:
    found = compare(LooksBack, bars_from(PRICES), BacktestOptions())

    assert (found.cuts, found.changes) == (10, ())
    assert found.signals == 1


@pytest.mark.parametrize("strategy", BUILT_IN, ids=lambda cls: cls.name)
def test_no_shipped_strategy_looks_ahead(strategy: type[Scripted]) -> None:
    told: list[int] = []
    bars = bars_from(PRICES)

    assert compare(strategy, bars, BacktestOptions(), cuts=4, progress=told.append).changes == ()
    assert sum(told) == 5


def test_one_bar_is_too_little_to_compare() -> None:
    with pytest.raises(ConfigError, match="1 bars are too few"):
        compare(LooksBack, bars_from(PRICES[:1]), BacktestOptions())
