"""The indicators of whole bars give, bar by bar, what TA-Lib or pandas gives for the whole series."""

import json
import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pandas as pd
import pytest
import talib
from msgspec import Struct, convert, to_builtins
from numpy.typing import NDArray

from services.demo.sample_data import load_sample_data
from strategies.indicators import (
    CCI,
    CMF,
    MFI,
    OBV,
    ROC,
    TRIX,
    VWAP,
    Aroon,
    Directional,
    MACDLine,
    Midpoint,
    ParabolicSAR,
    Previous,
    Stochastic,
    StochasticOf,
)

Series = NDArray[np.float64]
Columns = dict[str, Series]
SYMBOLS = ["AAPL", "FB", "IBM"]
FIELDS = ("high", "low", "close", "volume")


@cache
def columns(symbol: str) -> Columns:
    bars = [bar for bar in load_sample_data().bars if bar.symbol == symbol]
    return {name: np.array([getattr(bar, name) for bar in bars], dtype=float) for name in FIELDS}


def readings(indicator: Struct, given: Columns, *fields: str) -> list[tuple[float, ...] | None]:
    """Tell an indicator of every bar; stop in the middle, save it as JSON, and go on with what comes back."""
    rows = list(zip(*(given[field].tolist() for field in fields), strict=True))
    middle, found = len(rows) // 3, []
    for number, row in enumerate(rows):
        if number == middle:
            indicator = convert(json.loads(json.dumps(to_builtins(indicator))), type(indicator))
        reading = indicator.update(*row)  # type: ignore[attr-defined]  # each has its own arguments
        found.append(None if reading is None else reading if isinstance(reading, tuple) else (reading,))
    return found


def same(found: Sequence[tuple[float | None, ...] | None], *wanted: Series, loose: float = 1e-9) -> None:
    for number, row in enumerate(zip(*wanted, strict=True)):
        got = found[number] or (None,) * len(row)
        for value, expected in zip(got, row, strict=True):
            if math.isnan(expected):
                assert value is None, f"bar {number} gives {value}, the reference has no value yet"
            else:
                assert value == pytest.approx(float(expected), rel=1e-9, abs=loose), f"bar {number}"


Reference = Callable[[Columns, int], Series]


def stochastic_of(given: Columns, period: int) -> Series:
    close = pd.Series(given["close"])
    low, high = close.rolling(period).min(), close.rolling(period).max()
    return np.asarray((100.0 * (close - low) / (high - low)).where(high > low, 50.0).where(low.notna()))


def stochastic(given: Columns, period: int) -> Series:
    """As TA-Lib's STOCHF, which starts later because it smooths."""
    low, high = pd.Series(given["low"]).rolling(period).min(), pd.Series(given["high"]).rolling(period).max()
    return np.asarray(100.0 * (given["close"] - low) / (high - low))


def vwap(given: Columns, period: int) -> Series:
    typical = (given["high"] + given["low"] + given["close"]) / 3
    amount = pd.Series(typical * given["volume"]).rolling(period).sum()
    return np.asarray(amount / pd.Series(given["volume"]).rolling(period).sum())


def cmf(given: Columns, period: int) -> Series:
    high, low, close, volume = (given[field] for field in FIELDS)
    with np.errstate(invalid="ignore", divide="ignore"):
        place = np.where(high > low, ((close - low) - (high - close)) / (high - low), 0.0)
    flow = pd.Series(place * volume).rolling(period).sum()
    return np.asarray(flow / pd.Series(volume).rolling(period).sum())


def midpoint(given: Columns, period: int) -> Series:
    return np.asarray(
        (pd.Series(given["high"]).rolling(period).max() + pd.Series(given["low"]).rolling(period).min()) / 2
    )


ONE_LINE: list[tuple[Callable[[int], Struct], tuple[str, ...], Reference]] = [
    (ROC, ("close",), lambda given, period: talib.ROC(given["close"], period)),
    (TRIX, ("close",), lambda given, period: talib.TRIX(given["close"], period)),
    (Previous, ("close",), lambda given, period: np.asarray(pd.Series(given["close"]).shift(period))),
    (StochasticOf, ("close",), stochastic_of),
    (Stochastic, ("high", "low", "close"), stochastic),
    (CCI, ("high", "low", "close"), lambda g, period: talib.CCI(g["high"], g["low"], g["close"], period)),
    (Midpoint, ("high", "low"), midpoint),
    (VWAP, FIELDS, vwap),
    (CMF, FIELDS, cmf),
    (MFI, FIELDS, lambda g, period: talib.MFI(g["high"], g["low"], g["close"], g["volume"], period)),
    (lambda _: OBV(), ("close", "volume"), lambda given, _: talib.OBV(given["close"], given["volume"])),
]


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("period", [2, 14, 40])
@pytest.mark.parametrize(("make", "fields", "reference"), ONE_LINE)
def test_a_line_is_that_of_the_reference_also_over_a_restart(
    symbol: str, period: int, make: Callable[[int], Struct], fields: tuple[str, ...], reference: Reference
) -> None:
    given = columns(symbol)
    same(readings(make(period), given, *fields), reference(given, period), loose=1e-7)


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("period", [2, 14, 40])
def test_directional_movement_is_that_of_talib(symbol: str, period: int) -> None:
    given = columns(symbol)
    prices = given["high"], given["low"], given["close"]
    wanted = [function(*prices, period) for function in (talib.PLUS_DI, talib.MINUS_DI, talib.ADX)]
    same(readings(Directional(period), given, "high", "low", "close"), *wanted, loose=1e-7)


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("period", [2, 25])
def test_aroon_is_that_of_talib(symbol: str, period: int) -> None:
    given = columns(symbol)
    down, up = talib.AROON(given["high"], given["low"], period)
    same(readings(Aroon(period), given, "high", "low"), up, down)


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize(("start", "increment", "most"), [(0.02, 0.02, 0.2), (0.01, 0.03, 0.15)])
def test_the_parabolic_stop_is_that_of_talib(
    symbol: str, start: float, increment: float, most: float
) -> None:
    given = columns(symbol)
    speeds = (start, increment, most)
    wanted = np.abs(talib.SAREXT(given["high"], given["low"], 0, 0, *speeds, *speeds))
    same(readings(ParabolicSAR(*speeds), given, "high", "low"), wanted)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_line_of_macd_begins_as_early_as_its_slow_average(symbol: str) -> None:
    given = columns(symbol)
    line, _, _ = talib.MACD(given["close"], 12, 26, 1)
    found = readings(MACDLine(12, 26), given, "close")
    same(found, line, loose=1e-7)
    assert math.isnan(line[24])
    assert not math.isnan(line[25])


@pytest.mark.parametrize(
    "indicator", [Stochastic(3), StochasticOf(3), CCI(3), MFI(3), CMF(3), VWAP(3), Directional(3), Aroon(3)]
)
def test_a_market_that_stands_still_or_has_no_volume_raises_nothing(indicator: Struct) -> None:
    still = {field: np.full(20, 0.0 if field == "volume" else 10.0) for field in FIELDS}
    fields = {
        "StochasticOf": ("close",),
        "Aroon": ("high", "low"),
        "MFI": FIELDS,
        "CMF": FIELDS,
        "VWAP": FIELDS,
    }
    for row in readings(indicator, still, *fields.get(type(indicator).__name__, ("high", "low", "close"))):
        for value in row or ():
            assert math.isfinite(value or 0.0)
