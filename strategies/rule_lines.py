"""The lines that rules are made of: which there are, what they take, and how each is told of a bar."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from models.market_data import Bar
from strategies import indicators as ind

Reading = float | None
Step = Callable[[Bar], Reading]


class Line:
    """One line while it runs: its reading at the bar at hand, None while there is none."""

    __slots__ = ("indicator", "needs", "step", "value")

    def __init__(self, step: Step, needs: int = 1, indicator: Struct | None = None) -> None:
        self.value: Reading = None
        self.step = step
        self.needs = needs
        self.indicator = indicator


class Kind(Struct, frozen=True, kw_only=True):
    """A kind of line. `numbers` are its arguments beside the line that it is `of`, with their defaults.

    `make` takes the numbers and returns the indicator, which is told of the `fields` of each bar, or of the
    line that it is of where there are none. Of several readings `pick` is the one. `needs` tells after how
    many bars the first reading comes. The first `whole` numbers are counts of bars, `least` at least.
    """

    make: Callable[..., Any]
    numbers: Mapping[str, float | None] = {}
    fields: tuple[str, ...] = ()
    pick: int | None = None
    needs: Callable[..., float] = lambda period: period
    whole: int = 1
    least: int = 1


PERIOD: Mapping[str, float | None] = {"period": None}
HIGH_LOW = ("high", "low")
PRICES = ("high", "low", "close")
ALL = ("high", "low", "close", "volume")
MULTIPLIER: Mapping[str, float | None] = {"period": None, "multiplier": 2.0}
PERIODS: Mapping[str, float | None] = {"shortPeriod": 12.0, "longPeriod": 26.0}
SPEEDS: Mapping[str, float | None] = {"start": 0.02, "increment": 0.02, "most": 0.2}

SERIES = ("open", "high", "low", "close", "volume")
"""The lines that are always there."""

KINDS: Mapping[str, Kind] = {
    "SMA": Kind(make=ind.SMA, numbers=PERIOD),
    "EMA": Kind(make=ind.EMA, numbers=PERIOD),
    "RSI": Kind(make=ind.RSI, numbers=PERIOD, needs=lambda period: period + 1),
    "MACD": Kind(make=ind.MACDLine, numbers=PERIODS, needs=max, whole=2),
    "ROC": Kind(make=ind.ROC, numbers=PERIOD, needs=lambda period: period + 1),
    "TRIX": Kind(make=ind.TRIX, numbers=PERIOD, needs=lambda period: 3 * period - 1),
    "PREVIOUS": Kind(make=ind.Previous, numbers={"n": 1.0}, needs=lambda n: n + 1, least=0),
    "STOCHASTIC": Kind(make=ind.StochasticOf, numbers=PERIOD),
    "BOLLINGER_LOWER": Kind(make=ind.Bollinger, numbers=MULTIPLIER, pick=0, needs=lambda period, _: period),
    "BOLLINGER_MIDDLE": Kind(make=ind.Bollinger, numbers=MULTIPLIER, pick=1, needs=lambda period, _: period),
    "BOLLINGER_UPPER": Kind(make=ind.Bollinger, numbers=MULTIPLIER, pick=2, needs=lambda period, _: period),
    "STOCHASTIC_K": Kind(make=ind.Stochastic, numbers=PERIOD, fields=PRICES),
    "ATR": Kind(make=ind.ATR, numbers=PERIOD, fields=PRICES, needs=lambda period: period + 1),
    "CCI": Kind(make=ind.CCI, numbers=PERIOD, fields=PRICES),
    "DONCHIAN_UPPER": Kind(
        make=ind.Channel, numbers=PERIOD, fields=HIGH_LOW, pick=0, needs=lambda period: period + 1
    ),
    "DONCHIAN_LOWER": Kind(
        make=ind.Channel, numbers=PERIOD, fields=HIGH_LOW, pick=1, needs=lambda period: period + 1
    ),
    "MIDPOINT": Kind(make=ind.Midpoint, numbers=PERIOD, fields=HIGH_LOW),
    "AROON_UP": Kind(
        make=ind.Aroon, numbers=PERIOD, fields=HIGH_LOW, pick=0, needs=lambda period: period + 1
    ),
    "AROON_DOWN": Kind(
        make=ind.Aroon, numbers=PERIOD, fields=HIGH_LOW, pick=1, needs=lambda period: period + 1
    ),
    "PLUS_DI": Kind(
        make=ind.Directional, numbers=PERIOD, fields=PRICES, pick=0, needs=lambda period: period + 1
    ),
    "MINUS_DI": Kind(
        make=ind.Directional, numbers=PERIOD, fields=PRICES, pick=1, needs=lambda period: period + 1
    ),
    "ADX": Kind(make=ind.Directional, numbers=PERIOD, fields=PRICES, pick=2, needs=lambda period: 2 * period),
    "PARABOLIC_SAR": Kind(
        make=ind.ParabolicSAR, numbers=SPEEDS, fields=HIGH_LOW, needs=lambda *_: 2, whole=0
    ),
    "OBV": Kind(make=ind.OBV, fields=("close", "volume"), needs=lambda: 1),
    "VWAP": Kind(make=ind.VWAP, numbers=PERIOD, fields=ALL),
    "CMF": Kind(make=ind.CMF, numbers=PERIOD, fields=ALL),
    "MFI": Kind(make=ind.MFI, numbers=PERIOD, fields=ALL, needs=lambda period: period + 1),
}

_OF_FIELDS: Mapping[tuple[str, ...], Callable[[Callable[..., Any]], Callable[[Bar], Any]]] = {
    HIGH_LOW: lambda update: lambda bar: update(bar.high, bar.low),
    PRICES: lambda update: lambda bar: update(bar.high, bar.low, bar.close),
    ("close", "volume"): lambda update: lambda bar: update(bar.close, bar.volume),
    ALL: lambda update: lambda bar: update(bar.high, bar.low, bar.close, bar.volume),
}


def series() -> dict[str, Line]:
    """Return the lines that are always there, by their names."""
    return {
        "open": Line(lambda bar: bar.open),
        "high": Line(lambda bar: bar.high),
        "low": Line(lambda bar: bar.low),
        "close": Line(lambda bar: bar.close),
        "volume": Line(lambda bar: bar.volume),
    }


def make_line(kind: Kind, source: Line, numbers: list[float]) -> Line:
    """Return a line of this kind, of `source` where it looks at one line. Whole numbers are whole already."""
    indicator = kind.make(*numbers)
    needs = int(kind.needs(*numbers))
    if kind.fields:
        step = _OF_FIELDS[kind.fields](indicator.update)
    else:
        step, needs = _of_line(source, indicator.update), source.needs + needs - 1
    return Line(step if kind.pick is None else _picked(step, kind.pick), needs, indicator)


def _of_line(source: Line, update: Callable[[float], Any]) -> Callable[[Bar], Any]:
    def step(_bar: Bar) -> Any:
        value = source.value
        return None if value is None else update(value)

    return step


def _picked(step: Callable[[Bar], Any], pick: int) -> Step:
    def picked(bar: Bar) -> Reading:
        readings = step(bar)
        return None if readings is None else readings[pick]

    return picked
