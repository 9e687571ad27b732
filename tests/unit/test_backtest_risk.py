"""The risk checks over the past: those of the worker, by the market's time."""

from datetime import time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.history.backtest import run
from services.history.backtest_run import BacktestRun
from services.history.options import BacktestOptions, RiskRules
from tests.sample_risk import limits
from tests.unit.playing import bars_from, scripted

DAY = timedelta(days=1)


def _rules(**changes: Any) -> RiskRules:
    return RiskRules(
        limits=limits(**changes), portfolio_value=Decimal(100_000), day_start=time(0), most_per_second=10
    )


def _played(script: dict[int, tuple[str, float]], prices: list[float], rules: RiskRules) -> BacktestRun:
    bars = bars_from([(price, price) for price in prices], step=DAY / 4)
    return run(scripted(script), bars, BacktestOptions(risk=rules))


def test_an_order_is_reduced_to_the_largest_position_and_refused_beyond_it() -> None:
    played = _played({0: ("BUY", 400.0), 2: ("BUY", 10.0)}, [100.0] * 5, _rules())

    assert [fill.quantity for fill in played.fills] == [300.0]
    assert [(report.status, report.filled_quantity) for report in played.reports] == [
        ("filled", 300.0),
        ("refused", 0.0),
    ]
    assert "position_size" in str(played.reports[1].reason)


def test_what_was_sold_may_be_bought_again() -> None:
    script = {0: ("BUY", 300.0), 2: ("SELL", 300.0), 4: ("BUY", 300.0)}
    played = _played(script, [100.0] * 7, _rules())

    assert [fill.action for fill in played.fills] == ["BUY", "SELL", "BUY"]


def test_a_day_that_lost_too_much_halts_what_grows_until_the_next_one() -> None:
    script = {0: ("BUY", 200.0), 2: ("BUY", 10.0), 3: ("SELL", 100.0), 6: ("BUY", 10.0)}
    prices = [100.0, 100.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0]
    played = _played(script, prices, _rules(max_order=Decimal(1_000_000)))

    outcomes = [(report.action, report.quantity, report.status) for report in played.reports]
    assert outcomes == [
        ("BUY", 200.0, "filled"),
        ("BUY", 10.0, "refused"),
        ("SELL", 100.0, "filled"),
        ("BUY", 10.0, "filled"),
    ]
    assert "daily_loss" in str(played.reports[1].reason)


def test_the_next_day_begins_though_nothing_is_traded_meanwhile() -> None:
    script = {0: ("BUY", 200.0), 2: ("BUY", 10.0), 6: ("BUY", 10.0)}
    prices = [100.0, 100.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0]
    played = _played(script, prices, _rules(max_order=Decimal(1_000_000)))

    assert [report.status for report in played.reports] == ["filled", "refused", "filled"]


@pytest.mark.parametrize(("symbol", "quantity"), [("AAPL", 230.0), ("BTC/USD", 230.76923076)])
def test_what_an_order_is_reduced_to_is_a_number_of_units_that_its_market_has(
    symbol: str, quantity: float
) -> None:
    bars = bars_from([(130.0, 130.0)] * 3, symbol)
    played = run(scripted({0: ("BUY", 400.0)}), bars, BacktestOptions(risk=_rules()))

    assert [fill.quantity for fill in played.fills] == [quantity]
