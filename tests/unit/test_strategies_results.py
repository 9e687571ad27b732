"""The results that the pages of strategies tell of are those of the backtests that they name."""

import re
from typing import Any

import pytest

from services.demo.sample_data import load_sample_data
from services.history.backtest import run
from services.history.backtest_run import BacktestRun
from services.history.options import BacktestOptions
from strategies.registry import StrategyRegistry
from tests.unit.test_strategies_docs import PAGES

TEXTS = {name: page.replace("\N{MINUS SIGN}", "-") for name, page in PAGES.items()}
HOLDING = re.compile(
    r"Holding the same 50,000 .+ made (.+?) \(AAPL, down (.+?) on .+?\), (.+?) \(GOOG\), (.+?) \(IBM\) and "
    r"(.+?) \(MSFT\)"
)
ROTATION = re.compile(
    r"(\d+) trades, a return of (.+?), a Sharpe ratio of (.+?), a drawdown of (.+?), "
    r"something held on (.+?) of .+ Holding all four for the same money made (.+?) with a drawdown of (.+?):"
)
SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
ROW = re.compile(r"^\| ([A-Z]+) \| (.+) \|$", re.MULTILINE)


def backtest(strategy: str, *symbols: str, **parameters: Any) -> BacktestRun:
    bars = [bar for bar in load_sample_data().bars if bar.symbol in symbols]
    options = BacktestOptions(parameters=parameters, fee_bps=5.0, symbols=symbols)
    return run(StrategyRegistry().get(strategy), bars, options)


def percent(value: float | None, digits: int = 0) -> str:
    return f"{value or 0.0:.{digits}%}".replace("%", " %")


def figures(played: BacktestRun) -> list[str]:
    found = played.statistics
    return [
        str(found.trades),
        percent(found.total_return),
        f"{found.sharpe_ratio:.2f}",
        percent(found.max_drawdown, 1),
        percent(found.win_rate),
        percent(found.exposure_time),
    ]


@pytest.mark.parametrize("name", ["mean_reversion", "momentum", "trend_following"])
def test_each_row_of_a_page_is_what_the_backtest_makes_of_that_symbol(name: str) -> None:
    rows = {symbol: cells.split(" | ") for symbol, cells in ROW.findall(TEXTS[name])}
    assert rows == {symbol: figures(backtest(name, symbol, cash=50_000)) for symbol in SYMBOLS}


@pytest.mark.parametrize("name", ["mean_reversion", "momentum", "trend_following"])
def test_what_holding_made_is_told_beside_it(name: str) -> None:
    told = HOLDING.search(" ".join(TEXTS[name].split()))
    held = [backtest("buy_and_hold", symbol, cash=50_000).statistics for symbol in SYMBOLS]
    made = [percent(each.total_return) for each in held]
    assert told is not None
    assert list(told.groups()) == [made[0], percent(-held[0].max_drawdown), *made[1:]]


def test_what_the_rotation_made_over_its_group_is_what_its_page_tells() -> None:
    told = ROTATION.search(" ".join(TEXTS["sector_rotation"].split()))
    played = backtest("sector_rotation", *SYMBOLS, symbols=",".join(SYMBOLS), best=2, cash=25_000)
    held = backtest("buy_and_hold", *SYMBOLS, cash=12_500).statistics
    trades, earned, sharpe, drawdown, _, exposed = figures(played)
    assert told is not None
    assert list(told.groups()) == [
        *(trades, earned, sharpe, drawdown, exposed),
        *(percent(held.total_return), percent(held.max_drawdown, 1)),
    ]
