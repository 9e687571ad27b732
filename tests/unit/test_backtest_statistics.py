"""Statistics: the same numbers as empyrical-reloaded on real prices, and None where there is none."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import empyrical
import pandas as pd
import pytest

from services.demo.sample_data import load_sample_data
from services.history.backtest import run
from services.history.backtest_run import BacktestRun
from services.history.bars import in_order
from services.history.equity import EquityCurve
from services.history.options import BacktestOptions
from services.history.statistics import (
    Statistics,
    cagr,
    judge,
    max_drawdown,
    monthly_returns,
    profit_factor,
    returns,
    rolling_sharpe,
    sample,
    sharpe_ratio,
    sortino_ratio,
    win_rate,
)
from strategies.sma_cross import SmaCross
from tests.unit.playing import bars_from, scripted

EXACTLY = 1e-9
DAY = timedelta(days=1)
FIRST = datetime(2026, 1, 5, tzinfo=UTC)


@cache
def _played() -> BacktestRun:
    """Play real prices of one stock over thirteen years, with costs, twice as much cash as it commits."""
    bars = [bar for bar in load_sample_data().bars if bar.symbol == "AAPL"]
    return run(SmaCross, bars, BacktestOptions(cash=20_000.0, fee_bps=2, slippage_bps=3))


def _reference_returns() -> "pd.Series[float]":
    curve = _played().equity
    index = pd.DatetimeIndex([time.replace(tzinfo=None) for time in curve.times])
    return pd.Series(list(curve.values), index=index).pct_change().dropna()


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("total_return", empyrical.cum_returns_final),
        ("cagr", lambda moves: empyrical.cagr(moves, period="daily")),
        ("sharpe_ratio", empyrical.sharpe_ratio),
        ("sortino_ratio", empyrical.sortino_ratio),
        ("max_drawdown", empyrical.max_drawdown),
    ],
)
def test_a_statistic_is_that_of_empyrical(name: str, reference: Callable[[Any], float]) -> None:
    ours = getattr(_played().statistics, name)

    assert ours == pytest.approx(float(reference(_reference_returns())), rel=EXACTLY, abs=EXACTLY)


def test_monthly_returns_are_those_of_empyrical() -> None:
    reference = empyrical.aggregate_returns(_reference_returns(), "monthly")
    ours = monthly_returns(_played().equity)

    assert len(ours) == len(reference)
    for (year, month), expected in reference.items():
        assert ours[f"{year}-{month:02}"] == pytest.approx(expected, rel=EXACTLY, abs=EXACTLY)


def test_the_rolling_sharpe_ratio_is_that_of_empyrical() -> None:
    reference = empyrical.roll_sharpe_ratio(_reference_returns(), window=63)
    ours = rolling_sharpe(_played().equity, is_crypto=False)

    assert len(ours) == len(reference)
    assert sum(1 for _, value in ours if value is not None) > 1_000
    for (_, value), expected in zip(ours, reference, strict=True):
        if value is not None:
            assert value == pytest.approx(expected, rel=EXACTLY, abs=EXACTLY)


def test_a_curve_is_what_cash_and_holdings_are_worth() -> None:
    played = _played()
    cash, held, worth = played.options.cash, 0.0, []
    fills = {fill.time: fill for fill in played.fills}
    for bar in played.events:
        if bar.timestamp in fills:
            fill = fills[bar.timestamp]
            sign = 1.0 if fill.action == "BUY" else -1.0
            cash -= sign * fill.price * fill.quantity + fill.fee
            held += sign * fill.quantity
        worth.append(cash + held * bar.close)  # type: ignore[union-attr]  # all are bars

    assert len(played.fills) > 20
    assert list(played.equity.values) == pytest.approx(worth)


def test_bars_within_days_are_judged_by_the_day() -> None:
    times = [FIRST + number * DAY / 4 for number in range(12)]
    curve = EquityCurve(times, [100.0 + number for number in range(12)], bytes(12))

    daily, periods = sample(curve, is_crypto=False)

    assert list(daily.values) == [100.0, 103.0, 107.0, 111.0]
    assert periods == 252
    assert sample(curve, is_crypto=True)[1] == 365


@pytest.mark.parametrize(
    ("step", "periods"), [(DAY, 252.0), (7 * DAY, 52.0), (30 * DAY, 12.0), (2 * DAY, 182.5)]
)
def test_a_year_has_as_many_returns_as_the_bars_have(step: timedelta, periods: float) -> None:
    curve = EquityCurve([FIRST + number * step for number in range(9)], [100.0] * 9, bytes(9))

    assert sample(curve, is_crypto=False)[1] == pytest.approx(periods)


def test_what_trades_around_the_clock_has_a_year_of_all_days() -> None:
    prices = [(100.0 + (n * n) % 17, 100.0 + (n * n * n) % 23) for n in range(40)]
    ratios = {
        symbols: run(
            scripted({1: ("BUY", 1.0)}), in_order(bars_from(prices, each, step=DAY) for each in symbols)
        ).statistics.sharpe_ratio
        for symbols in (
            ("AAPL",),
            ("BTC/USD",),
            ("AAPL", "MSFT"),
            ("BTC/USD", "ETH/USD"),
            ("AAPL", "BTC/USD"),
        )
    }

    stock, crypto, stocks, cryptos, both = (ratio or 0.0 for ratio in ratios.values())
    assert crypto / stock == pytest.approx((365 / 252) ** 0.5)
    assert cryptos / stocks == pytest.approx((365 / 252) ** 0.5)
    assert both == pytest.approx(stocks)


def test_what_is_undefined_is_none() -> None:
    flat = EquityCurve([FIRST, FIRST + DAY], [100.0, 100.0], bytes(2))

    assert judge(flat, [], 100.0, is_crypto=False) == Statistics(
        trades=0,
        total_return=0.0,
        cagr=0.0,
        sharpe_ratio=None,
        sortino_ratio=None,
        max_drawdown=0.0,
        win_rate=None,
        profit_factor=None,
        avg_trade_duration=None,
        exposure_time=0.0,
        final_equity=100.0,
    )
    assert cagr([], 252.0) is None
    assert sharpe_ratio([0.1], 252.0) is None
    assert sortino_ratio([0.1, 0.2], 252.0) is None
    assert profit_factor([1.0, 2.0]) is None
    assert cagr([1e6], 252.0) is None


def test_time_in_the_market_is_that_of_closed_trades_on_average_and_of_all_bars_as_a_share() -> None:
    script = {0: ("BUY", 1.0), 2: ("SELL", 1.0), 3: ("BUY", 1.0), 7: ("SELL", 1.0), 8: ("BUY", 1.0)}

    found = run(scripted(script), bars_from([(10.0, 10.0)] * 12)).statistics

    assert found.trades == 2
    assert found.avg_trade_duration == (2 * 60 + 4 * 60) / 2
    assert found.exposure_time == (2 + 4 + 3) / 12  # of bars at whose close something was held


def test_trades_are_counted_by_what_they_earned() -> None:
    assert win_rate([1.0, -1.0, 0.0, 3.0]) == 0.5
    assert profit_factor([1.0, -2.0, 3.0]) == 2.0
    assert max_drawdown([100.0, 120.0, 90.0, 130.0]) == -0.25
    assert returns([100.0, 110.0, 99.0]) == pytest.approx([0.1, -0.1])
