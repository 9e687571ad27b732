"""The shipped strategies on years of real prices, against the same rules over the arrays of TA-Lib."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import talib
from numpy.typing import NDArray

from models.market_data import Bar
from services.demo.sample_data import load_sample_data
from strategies.base_strategy import BaseStrategy
from strategies.bollinger_breakout import BollingerBreakout
from strategies.macd_trend import MacdTrend
from strategies.rsi_reversion import RsiReversion
from strategies.sma_cross import SmaCross
from tests.unit.strategy_driver import Order, play

Series = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rule = tuple[Flags, Flags]
CASH = 10_000.0


@cache
def bars(symbol: str) -> list[Bar]:
    return [bar for bar in load_sample_data().bars if bar.symbol == symbol]


def side(line: Series, other: Series | float, scale: Series | float) -> Series:
    """1 above, -1 below, 0 where both touch, NaN before there are both."""
    distance = line - other
    touching: Series = np.where(np.abs(distance) <= 1e-9 * scale, 0.0, np.sign(distance))
    return touching


def came_above(sides: Series) -> Flags:
    return np.concatenate([[False], (sides[1:] > 0) & (sides[:-1] <= 0)])


def sma_rule(closes: Series, fast: int, slow: int) -> Rule:
    sides = side(talib.SMA(closes, fast), talib.SMA(closes, slow), closes)
    return came_above(sides), sides < 0


def macd_rule(closes: Series, fast: int, slow: int, signal: int) -> Rule:
    line, average, _ = talib.MACD(closes, fast, slow, signal)
    sides = side(line, average, closes)
    return came_above(sides), sides < 0


def rsi_rule(closes: Series, period: int, oversold: float, exit_level: float) -> Rule:
    rsi = talib.RSI(closes, period)
    return came_above(side(rsi, oversold, 100.0)), rsi >= exit_level


def bollinger_rule(closes: Series, period: int, deviations: float, exit_band: str) -> Rule:
    upper, middle, lower = talib.BBANDS(closes, period, deviations, deviations)
    leave = side(closes, middle if exit_band == "middle" else lower, closes) < 0
    return came_above(side(closes, upper, closes)), leave


def orders_of(rule: Rule, closes: Series) -> list[Order]:
    orders: list[Order] = []
    held = 0.0
    for number, (close, enter, leave) in enumerate(zip(closes.tolist(), *rule, strict=True)):
        if enter and not held:
            held = float(math.floor(CASH / close))
            orders.append((number, "BUY", close, held))
        elif leave and held:
            orders.append((number, "SELL", close, held))
            held = 0.0
    return orders


RULES: list[tuple[type[BaseStrategy], dict[str, object], Callable[..., Rule]]] = [
    (SmaCross, {"fast": 20, "slow": 50}, sma_rule),
    (SmaCross, {"fast": 1, "slow": 10}, sma_rule),
    (MacdTrend, {"fast": 12, "slow": 26, "signal": 9}, macd_rule),
    (MacdTrend, {"fast": 3, "slow": 10, "signal": 16}, macd_rule),
    (RsiReversion, {"period": 14, "oversold": 30.0, "exit_level": 70.0}, rsi_rule),
    (RsiReversion, {"period": 2, "oversold": 10.0, "exit_level": 50.0}, rsi_rule),
    (BollingerBreakout, {"period": 20, "deviations": 2.0, "exit": "middle"}, bollinger_rule),
    (BollingerBreakout, {"period": 10, "deviations": 1.0, "exit": "lower"}, bollinger_rule),
]


@pytest.mark.parametrize("symbol", ["AAPL", "GOOG", "IBM", "MSFT"])
@pytest.mark.parametrize(("cls", "parameters", "rule"), RULES)
def test_a_strategy_trades_real_prices_as_its_rule_says(
    symbol: str, cls: type[BaseStrategy], parameters: dict[str, object], rule: Callable[..., Rule]
) -> None:
    closes = np.array([bar.close for bar in bars(symbol)])
    wanted = orders_of(rule(closes, *parameters.values()), closes)
    strategy = cls.build("strategy", symbol, parameters=parameters)
    assert play(strategy, bars(symbol), answer_after=3) == wanted
    assert len(wanted) > 10


@pytest.mark.parametrize(("cls", "parameters"), [(cls, parameters) for cls, parameters, _ in RULES[::2]])
def test_every_other_row_above_holds_the_defaults(
    cls: type[BaseStrategy], parameters: dict[str, object]
) -> None:
    assert dict(cls.parameters.bind({})) == {**parameters, "cash": CASH}
