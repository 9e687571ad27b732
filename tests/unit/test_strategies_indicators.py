"""The indicators give, bar by bar, what TA-Lib gives for the whole series."""

import json
import math
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.errors import StrategyRejected
from services.demo.sample_data import load_sample_data
from strategies.indicators import EMA, MACD, RSI, SMA, Bollinger, Cross, restore_state, save_state

Reading = float | tuple[float, ...] | None
Series = NDArray[np.float64]
Indicator = SMA | EMA | RSI | MACD | Bollinger
SYMBOLS = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
CLOSES = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=120)
INDICATORS: list[Callable[[], Indicator]] = [
    lambda: SMA(7),
    lambda: EMA(7),
    lambda: RSI(7),
    lambda: MACD(3, 7, 4),
    lambda: Bollinger(7, 2.0),
]


@cache
def closes(symbol: str) -> Series:
    return np.array([bar.close for bar in load_sample_data().bars if bar.symbol == symbol])


def rows(*columns: Series) -> Iterator[tuple[float, ...] | None]:
    """What TA-Lib computed, bar by bar; None where it says NaN."""
    for row in zip(*columns, strict=True):
        yield None if math.isnan(row[-1]) else tuple(float(value) for value in row)


def as_row(reading: Reading) -> tuple[float, ...] | None:
    return (reading,) if isinstance(reading, float) else reading


def assert_equal_bar_by_bar(
    update: Callable[[float], Reading], prices: Series, *expected: Series, scale: float = 0.0
) -> None:
    """Compare to 1e-9 of the value; `scale` widens that for differences of prices, which come near 0."""
    wanted = list(rows(*expected))
    assert any(row is not None for row in wanted)
    for number, (price, row) in enumerate(zip(prices, wanted, strict=True)):
        reading = as_row(update(float(price)))
        if row is None:
            assert reading is None, f"bar {number} gives {reading}, TA-Lib has no value yet"
        else:
            assert reading == pytest.approx(row, rel=1e-9, abs=1e-9 * scale * float(price)), f"bar {number}"


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("period", [2, 20, 150])
def test_a_simple_moving_average_is_that_of_talib(symbol: str, period: int) -> None:
    prices = closes(symbol)
    assert_equal_bar_by_bar(SMA(period).update, prices, talib.SMA(prices, period))


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("period", [2, 12, 150])
def test_an_exponential_moving_average_has_the_seed_of_talib(symbol: str, period: int) -> None:
    prices = closes(symbol)
    assert_equal_bar_by_bar(EMA(period).update, prices, talib.EMA(prices, period))


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("period", [2, 14, 100])
def test_the_rsi_has_the_seed_of_talib(symbol: str, period: int) -> None:
    prices = closes(symbol)
    assert_equal_bar_by_bar(RSI(period).update, prices, talib.RSI(prices, period))


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize(("fast", "slow", "signal"), [(12, 26, 9), (3, 10, 16), (2, 100, 2)])
def test_the_macd_starts_its_fast_average_where_talib_does(
    symbol: str, fast: int, slow: int, signal: int
) -> None:
    prices = closes(symbol)
    line, average, _ = talib.MACD(prices, fast, slow, signal)
    assert_equal_bar_by_bar(MACD(fast, slow, signal).update, prices, line, average, scale=1.0)


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize(("period", "deviations"), [(5, 1.0), (20, 2.0), (150, 2.5)])
def test_the_bands_use_the_deviation_of_the_population_as_talib_does(
    symbol: str, period: int, deviations: float
) -> None:
    prices = closes(symbol)
    upper, middle, lower = talib.BBANDS(prices, period, deviations, deviations)
    assert_equal_bar_by_bar(Bollinger(period, deviations).update, prices, lower, middle, upper)


def test_averages_of_one_value_are_that_value() -> None:
    assert [SMA(1).update(7.0), EMA(1).update(7.0)] == [7.0, 7.0]


def test_a_price_that_never_moves_has_an_rsi_of_50() -> None:
    rsi = RSI(3)
    assert [rsi.update(10.0) for _ in range(6)] == [None, None, None, 50.0, 50.0, 50.0]


def test_a_price_that_only_rises_has_an_rsi_of_100_and_one_that_only_falls_of_0() -> None:
    rising, falling = RSI(3), RSI(3)
    assert [rising.update(price) for price in (1.0, 2.0, 3.0, 4.0)][-1] == 100.0
    assert [falling.update(price) for price in (4.0, 3.0, 2.0, 1.0)][-1] == 0.0


def million_prices(around: float) -> Series:
    return around + np.random.default_rng(20260128).random(1_000_000)


def test_a_million_values_later_the_window_indicators_are_still_exact() -> None:
    prices = million_prices(around=1e6).tolist()
    average, bands = SMA(50), Bollinger(50, 2.0)
    for price in prices:
        mean, band = average.update(price), bands.update(price)
    window = prices[-50:]
    exact = math.fsum(window) / 50
    deviation = math.sqrt(math.fsum((price - exact) ** 2 for price in window) / 50)
    assert mean == pytest.approx(exact, rel=1e-14)
    assert band == pytest.approx((exact - 2 * deviation, exact, exact + 2 * deviation), rel=1e-14)


def test_a_million_values_later_the_averages_without_a_window_agree_with_talib() -> None:
    prices = million_prices(around=100.0)
    average, rsi = EMA(20), RSI(14)
    for price in prices.tolist():
        last = average.update(price), rsi.update(price)
    assert last == pytest.approx((talib.EMA(prices, 20)[-1], talib.RSI(prices, 14)[-1]), rel=1e-9)


def test_one_absurd_price_leaves_the_window_indicators_as_it_leaves_the_window() -> None:
    average, bands, untouched = SMA(5), Bollinger(5, 2.0), Bollinger(5, 2.0)
    for price in (1.0, 2.0, 1e308, 1e308, 1.1, 1.3, 1.2, 1.25, 1.15):
        mean, band = average.update(price), bands.update(price)
    for price in (1.1, 1.3, 1.2, 1.25, 1.15):
        wanted = untouched.update(price)
    assert mean == pytest.approx(1.2)
    assert band == wanted


def test_indicators_hold_no_more_after_ten_thousand_values_than_after_a_few() -> None:
    def size(values: int) -> int:
        indicators = [make() for make in INDICATORS]
        for number in range(values):
            for indicator in indicators:
                indicator.update(1.0 + number % 2)
        return sum(len(json.dumps(save_state({}, indicator=each))) for each in indicators)

    assert size(10_000) < size(100) + 100


def test_a_line_crosses_when_it_comes_from_the_other_side_or_from_touching() -> None:
    cross = Cross()
    lines = [9.0, 11.0, 12.0, 10.0, 11.0, 10.0, 9.0, 10.0, 9.0]
    assert [cross.update(line, 10.0, scale=10.0) for line in lines] == [0, 1, 0, 0, 1, 0, -1, 0, -1]


def test_a_line_that_starts_above_has_not_crossed() -> None:
    cross = Cross()
    assert (cross.update(11.0, 10.0, scale=10.0), cross.side) == (0, 1)


def test_what_float_arithmetic_leaves_over_is_no_crossing() -> None:
    cross = Cross(side=-1)
    assert (cross.update(0.1 + 0.2, 0.3, scale=0.3), cross.side) == (0, 0)


def test_a_line_that_is_not_a_number_is_on_no_side() -> None:
    cross = Cross(side=1)
    assert (cross.update(math.inf, math.inf, scale=1.0), cross.side) == (0, 0)


@pytest.mark.parametrize("make", INDICATORS, ids=["SMA", "EMA", "RSI", "MACD", "Bollinger"])
@given(prices=CLOSES, data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_restart_changes_no_digit_of_an_indicator(
    make: Callable[[], Indicator], prices: list[float], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(prices)))
    straight, before, after = make(), make(), make()
    wanted = [straight.update(price) for price in prices]
    readings = [before.update(price) for price in prices[:cut]]
    saved = json.loads(json.dumps(save_state({}, indicator=before)))
    restore_state(saved, {}, indicator=after)
    readings += [after.update(price) for price in prices[cut:]]
    assert (readings, after) == (wanted, straight)


def test_a_state_saved_under_other_parameters_is_refused() -> None:
    saved = save_state({"period": 3, "cash": 1.0}, sma=SMA(3, [1.0, 2.0, 3.0]))
    average = SMA(4)
    with pytest.raises(
        StrategyRejected, match=r"under the parameters {'period': 3}; now they are {'period': 4}"
    ):
        restore_state(saved, {"period": 4, "cash": 1.0}, sma=average)
    assert average == SMA(4)


def test_another_amount_of_cash_keeps_the_state() -> None:
    average = SMA(3)
    saved = save_state({"period": 3, "cash": 1.0}, sma=SMA(3, [1.0, 2.0]))
    restore_state(saved, {"period": 3, "cash": 500.0}, sma=average)
    assert average.values == [1.0, 2.0]


@pytest.mark.parametrize(
    "indicators",
    [
        {"first": {"period": 3}, "second": {"period": "3"}},
        {"first": {"period": 3}, "second": {"period": 3, "values": "x"}},
        {"first": {"period": 3}, "second": {}},
        {"first": {"period": 3}, "second": None},
        {"first": {"period": 3}},
        [],
        None,
    ],
)
def test_a_state_that_cannot_be_read_changes_nothing(indicators: object) -> None:
    first, second = SMA(3, [1.0]), SMA(3, [2.0])
    with pytest.raises(StrategyRejected, match="the state cannot be read: "):
        restore_state({"parameters": {}, "indicators": indicators}, {}, first=first, second=second)
    assert [each.values for each in (first, second)] == [[1.0], [2.0]]


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(StrategyRejected, match=r"under the parameters None; now they are {}"):
        restore_state({"bars": 3}, {}, sma=SMA(3))


@given(prices=CLOSES.filter(lambda prices: len(prices) > 30))
@settings(max_examples=60, deadline=None)
def test_a_window_indicator_gives_the_same_wherever_the_data_begin(prices: list[float]) -> None:
    """So a worker that was started later says what a backtest over all of history says."""
    makers: list[Callable[[], SMA | Bollinger]] = [lambda: SMA(10), lambda: Bollinger(10, 2.0)]
    for make in makers:
        early, late = make(), make()
        whole = [early.update(price) for price in prices]
        assert [late.update(price) for price in prices[15:]][10:] == whole[25:]


def test_each_indicator_has_a_window_of_its_own() -> None:
    for make in INDICATORS:
        make().update(1.0)
        assert make() == make()
        assert "1.0" not in repr(make())
