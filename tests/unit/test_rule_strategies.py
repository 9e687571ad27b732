"""The 23 types that pipelines emit, on years of real prices, against the same rules over whole series."""

import json
from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pytest
import talib
from numpy.typing import NDArray

from services.demo.sample_data import load_sample_data
from strategies.registry import StrategyRegistry, shipped_rules
from strategies.rule_strategy import RuleStrategy
from tests.unit.strategy_driver import play

Series = NDArray[np.float64]
Flags = NDArray[np.bool_]
Exit = Callable[[int, int], bool]
"""Whether to sell at a bar what was bought at another."""

SYMBOLS = ["AAPL", "GOOG", "IBM", "MSFT"]


class Prices:
    """The bars of one symbol as arrays."""

    def __init__(self, symbol: str) -> None:
        self.bars = [bar for bar in load_sample_data().bars if bar.symbol == symbol]
        self.high, self.low, self.close, self.volume = (
            np.array([getattr(bar, name) for bar in self.bars], dtype=float)
            for name in ("high", "low", "close", "volume")
        )
        self.typical = (self.high + self.low + self.close) / 3


@cache
def prices(symbol: str) -> Prices:
    return Prices(symbol)


def over(a: Series | float, b: Series | float) -> Flags:
    """False where either is not there."""
    with np.errstate(invalid="ignore"):
        above: Flags = np.asarray(np.subtract(a, b) > 1e-9 * np.maximum(np.abs(a), np.abs(b)))
    return above


def up(a: Series, b: Series | float) -> Flags:
    now, there = over(a, b), ~np.isnan(a + b)
    before = np.concatenate([[False], there[:-1] & ~now[:-1]])
    crossed: Flags = now & before
    return crossed


def down(a: Series, b: Series | float) -> Flags:
    return up(np.negative(a), np.negative(b))


def rolled(values: Series, period: int, how: str) -> Series:
    return np.asarray(getattr(pd.Series(values).rolling(period), how)(), dtype=float)


def shifted(values: Series, by: int = 1) -> Series:
    return np.asarray(pd.Series(values).shift(by), dtype=float)


def after_first(values: Series, average: Callable[[Series], Series]) -> Series:
    """Average a line that begins with NaN."""
    first = int(np.argmax(~np.isnan(values)))
    return np.concatenate([np.full(first, np.nan), average(values[first:])])


def ema(values: Series, period: int) -> Series:
    return after_first(values, lambda known: talib.EMA(known, period))


def sma(values: Series, period: int) -> Series:
    return after_first(values, lambda known: talib.SMA(known, period))


def macd(p: Prices, fast: int, slow: int, signal: int) -> tuple[Series, Series]:
    line = talib.MACD(p.close, fast, slow, 1)[0]
    return line, ema(line, signal)


def midpoint(p: Prices, period: int) -> Series:
    return (rolled(p.high, period, "max") + rolled(p.low, period, "min")) / 2


def place(values: Series, low: Series, high: Series) -> Series:
    return 100 * (values - low) / (high - low)


def crossing(a: Series, b: Series | float) -> tuple[Flags, Flags]:
    return up(a, b), down(a, b)


def trailing(p: Prices, percent: float) -> Exit:
    return lambda bar, bought: bool(
        not over(p.close[bar], p.close[bought : bar + 1].max() * (1 - percent / 100))
    )


def stop(p: Prices, percent: float) -> Exit:
    return lambda bar, bought: bool(not over(p.close[bar], p.close[bought] * (1 - percent / 100)))


def sma_rsi(p: Prices, period: int, rsi: int, high: float, low: float) -> tuple[Flags, Flags]:
    line = talib.RSI(p.close, rsi)
    return over(p.close, talib.SMA(p.close, period)) & over(low, line), over(line, high)


def triple(p: Prices, short: int, medium: int, long: int) -> tuple[Flags, Flags]:
    a, b, c = (talib.EMA(p.close, period) for period in (short, medium, long))
    return over(a, b) & over(b, c), over(b, a) & over(c, b)


def rsi_ema(p: Prices, period: int, smooth: int) -> tuple[Flags, Flags]:
    rsi = talib.RSI(p.close, period)
    average = ema(rsi, smooth)
    return up(rsi, average) & over(70.0, rsi), down(rsi, average) & over(rsi, 30.0)


def donchian(p: Prices, period: int) -> tuple[Flags, Flags]:
    upper, lower = shifted(rolled(p.high, period, "max")), shifted(rolled(p.low, period, "min"))
    return over(p.close, upper), over(lower, p.close)


def sar(p: Prices, *speeds: float) -> tuple[Flags, Flags]:
    return crossing(p.close, np.abs(talib.SAREXT(p.high, p.low, 0, 0, *speeds, *speeds)))


def ichimoku(p: Prices, tenkan: int, kijun: int, senkou: int, ahead: int) -> tuple[Flags, Flags]:
    turning, base = midpoint(p, tenkan), midpoint(p, kijun)
    return up(turning, base) & over(p.close, shifted(midpoint(p, senkou), ahead)), down(turning, base)


def stochastic_rsi(p: Prices, *given: float) -> tuple[Flags, Flags]:
    period, k, d, high, low = given
    rsi = talib.RSI(p.close, int(period))
    line = sma(place(rsi, rolled(rsi, int(k), "min"), rolled(rsi, int(k), "max")), int(d))
    return up(line, low), down(line, high)


def adx_stochastic(p: Prices, period: int, k: int, high: float, low: float) -> tuple[Flags, Flags]:
    adx = talib.ADX(p.high, p.low, p.close, period)
    line = place(p.close, rolled(p.low, k, "min"), rolled(p.high, k, "max"))
    return over(adx, 20.0) & over(low, line), over(20.0, adx) & over(line, high)


def aroon_mfi(p: Prices, period: int, flow: int, high: float, low: float) -> tuple[Flags, Flags]:
    below, above = talib.AROON(p.high, p.low, period)
    mfi = talib.MFI(p.high, p.low, p.close, p.volume, flow)
    return up(above, below) & over(low, mfi), over(above, below) & over(mfi, high)


def vwap_reversion(p: Prices, period: int, band: int, width: float) -> tuple[Flags, Flags]:
    amount, volume = rolled(p.typical * p.volume, period, "sum"), rolled(p.volume, period, "sum")
    upper, _, lower = talib.BBANDS(p.close, band, width, width)
    vwap = amount / volume
    return over(vwap, p.close) & up(p.close, lower), over(p.close, vwap) & down(p.close, upper)


def cmf(p: Prices, period: int) -> tuple[Flags, Flags]:
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = np.where(p.high > p.low, (2 * p.close - p.low - p.high) / (p.high - p.low), 0.0)
    return crossing(rolled(inside * p.volume, period, "sum") / rolled(p.volume, period, "sum"), 0.0)


def roc_sma(p: Prices, period: int, smooth: int) -> tuple[Flags, Flags]:
    roc = talib.ROC(p.close, period)
    return crossing(roc, sma(roc, smooth))


def atr_cci(p: Prices, period: int, channel: int) -> tuple[Flags, Flags]:
    atr, cci = talib.ATR(p.high, p.low, p.close, period), talib.CCI(p.high, p.low, p.close, channel)
    return over(cci, -100.0) & over(atr, shifted(atr)), over(100.0, cci) & over(shifted(atr), atr)


def obv(p: Prices, period: int) -> tuple[Flags, Flags]:
    line = talib.OBV(p.close, p.volume)
    return crossing(line, ema(line, period))


def trix(p: Prices, period: int, signal: int) -> tuple[Flags, Flags]:
    line = talib.TRIX(p.close, period)
    return crossing(line, sma(line, signal))


def adx_dmi(p: Prices, period: int, di: int) -> tuple[Flags, Flags]:
    plus, minus = (function(p.high, p.low, p.close, di) for function in (talib.PLUS_DI, talib.MINUS_DI))
    strong = over(talib.ADX(p.high, p.low, p.close, period), 25.0)
    return strong & up(plus, minus), down(plus, minus)


RULES: dict[str, Callable[..., tuple[Flags, Flags | Exit]]] = {
    "SMA_RSI": sma_rsi,
    "EMA_MACD": lambda p, *periods: crossing(*macd(p, *periods)),
    "MACD_CROSSOVER": lambda p, *periods: crossing(*macd(p, *periods)),
    "DOUBLE_EMA_CROSSOVER": lambda p, a, b: crossing(talib.EMA(p.close, a), talib.EMA(p.close, b)),
    "TRIPLE_EMA_CROSSOVER": triple,
    "SMA_EMA_CROSSOVER": lambda p, a, b: crossing(talib.SMA(p.close, a), talib.EMA(p.close, b)),
    "RSI_EMA_CROSSOVER": rsi_ema,
    "DONCHIAN_BREAKOUT": donchian,
    "ATR_TRAILING_STOP": lambda p, _, percent: (over(p.close, shifted(p.close)), trailing(p, percent)),
    "PARABOLIC_SAR": sar,
    "ICHIMOKU_CLOUD": ichimoku,
    "STOCHASTIC_RSI": stochastic_rsi,
    "ADX_STOCHASTIC": adx_stochastic,
    "AROON_MFI": aroon_mfi,
    "VWAP_MEAN_REVERSION": vwap_reversion,
    "CMF_ZERO_LINE": cmf,
    "MOMENTUM_SMA_CROSSOVER": roc_sma,
    "ATR_CCI": atr_cci,
    "VOLATILITY_STOP": lambda p, a, percent: (up(p.close, talib.EMA(p.close, a)), stop(p, percent)),
    "ROC_MA_CROSSOVER": roc_sma,
    "OBV_EMA": obv,
    "TRIX_SIGNAL_LINE": trix,
    "ADX_DMI": adx_dmi,
}


def expected(rule: tuple[Flags, Flags | Exit]) -> list[tuple[int, str]]:
    """Walk over the bars: buy when flat and the rule enters, sell when it leaves."""
    enter, leave = rule
    orders: list[tuple[int, str]] = []
    bought: int | None = None
    for bar in range(len(enter)):
        if bought is None:
            if enter[bar]:
                bought = bar
                orders.append((bar, "BUY"))
        elif leave(bar, bought) if callable(leave) else leave[bar]:
            bought = None
            orders.append((bar, "SELL"))
    return orders


def bounds(name: str, which: str) -> dict[str, float]:
    """The parameters of a type: its defaults, or all at one end of what is allowed."""
    declared = StrategyRegistry().get(name).parameters.declared
    return {parameter: getattr(each, which) for parameter, each in declared.items() if parameter != "cash"}


def test_there_is_a_rule_for_every_type_that_pipelines_emit() -> None:
    assert {cls.name for cls in shipped_rules()} == set(RULES)


# Their conditions contradict each other so much that they hardly ever trade days of large companies.
SELDOM = {
    "AROON_MFI": {"aroonPeriod": 35, "mfiPeriod": 7, "overboughtThreshold": 70, "oversoldThreshold": 30},
    "SMA_RSI": {"movingAveragePeriod": 50, "rsiPeriod": 7},
}


@pytest.mark.parametrize("which", ["default", "minimum", "maximum", "lively"])
@pytest.mark.parametrize("name", RULES)
def test_a_type_trades_real_prices_as_its_rule_over_whole_series_says(name: str, which: str) -> None:
    parameters = (
        {**bounds(name, "default"), **SELDOM.get(name, {})} if which == "lively" else bounds(name, which)
    )
    traded = 0
    for symbol in SYMBOLS:
        p = prices(symbol)
        wanted = expected(RULES[name](p, *parameters.values()))
        strategy = StrategyRegistry().get(name).build("strategy", symbol, parameters=parameters)
        orders = play(strategy, p.bars, answer_after=3)
        assert [(bar, action) for bar, action, _, _ in orders] == wanted, symbol
        traded += len(wanted)
    assert traded > 3 or (name in SELDOM and which != "lively")


@pytest.mark.parametrize("cls", shipped_rules())
def test_a_type_that_is_restarted_at_any_bar_goes_on_as_if_nothing_had_happened(
    cls: type[RuleStrategy],
) -> None:
    bars = prices("AAPL").bars[:400]
    straight = cls.build("strategy", "AAPL", "session")
    wanted = play(straight, bars)
    for cut in (0, 1, 2, *range(13, len(bars), 19)):
        before, after = (cls.build("strategy", "AAPL", "session") for _ in range(2))
        orders = play(before, bars[:cut])
        after.booked_position = before.position
        after.set_state(json.loads(json.dumps(before.get_state())))
        orders += [(number + cut, *rest) for number, *rest in play(after, bars[cut:])]
        assert orders == wanted, cut
        assert after.get_state() == straight.get_state()
