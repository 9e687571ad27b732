"""Indicators that are told one value at a time, keep no more than they need, and survive a restart.

Each is a plain structure with an `update(value)` that returns the new reading, or None while it has seen too
few values. The first readings come on the same bar, and with the same seeds, as those of TA-Lib.
"""

import math
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, ValidationError, convert, to_builtins

from models.errors import StrategyRejected

NOISE = 1e-9


class SMA(Struct):
    """Simple moving average: the mean of the last `period` values.

    Summed anew for every value, so that nothing drifts, and the reading depends on those values alone.

    >>> average = SMA(2)
    >>> [average.update(price) for price in (1.0, 2.0, 4.0)]
    [None, 1.5, 3.0]
    """

    period: int
    values: list[float] = []

    def update(self, value: float) -> float | None:
        """Take the next value; return the mean once there are `period` values."""
        values = self.values
        values.append(value)
        if len(values) > self.period:
            del values[0]
        return sum(values) / self.period if len(values) == self.period else None


class EMA(Struct):
    """Exponential moving average with the weight 2 / (period + 1), seeded with the mean of the first values.

    Source: P. N. Haurlan, "Measuring Trend Values" (1968).
    """

    period: int
    seen: int = 0
    value: float = 0.0

    def update(self, value: float) -> float | None:
        """Take the next value; return the average once there are `period` values."""
        if self.seen < self.period:
            self.seen += 1
            self.value += (value - self.value) / self.seen
            return self.value if self.seen == self.period else None
        self.value = average = self.value + 2.0 * (value - self.value) / (self.period + 1)
        return average


class RSI(Struct):
    """Relative strength index, from 0 to 100: the share of gains in the average move.

    Both averages are Wilder's: the mean of the first `period` moves, then each new one weighs 1 / period.
    Where nothing moved at all it is 50, which says neither.
    Source: J. W. Wilder, "New Concepts in Technical Trading Systems" (1978), section VI.
    """

    period: int
    moves: int = -1
    last: float = 0.0
    gain: float = 0.0
    loss: float = 0.0

    def update(self, value: float) -> float | None:
        """Take the next value; return the index once there are `period` moves, so `period + 1` values."""
        move, self.last = value - self.last, value
        if self.moves < self.period:
            self.moves += 1
        if not self.moves:
            return None
        gain = move if move > 0 else 0.0
        self.gain += (gain - self.gain) / self.moves
        self.loss += (gain - move - self.loss) / self.moves
        if self.moves < self.period:
            return None
        both = self.gain + self.loss
        return 100.0 * (self.gain / both) if both else 50.0


class MACD(Struct):
    """Moving average convergence/divergence: a fast EMA less a slow one, and the EMA of that, its signal.

    The fast average starts late, so that both have their first reading on the same bar.
    Source: G. Appel, "Technical Analysis: Power Tools for Active Investors" (2005).
    """

    fast: int
    slow: int
    signal: int
    skipped: int = 0
    averages: list[EMA] = []

    def __post_init__(self) -> None:
        if not self.averages:
            self.averages = [EMA(self.fast), EMA(self.slow), EMA(self.signal)]

    def update(self, value: float) -> tuple[float, float] | None:
        """Take the next value; return the line and its signal after `slow + signal - 1` values."""
        fast, slow, signal = self.averages
        slow_average = slow.update(value)
        if self.skipped < self.slow - self.fast:
            self.skipped += 1
            return None
        fast_average = fast.update(value)
        if fast_average is None or slow_average is None:
            return None
        line = fast_average - slow_average
        average = signal.update(line)
        return None if average is None else (line, average)


class Bollinger(Struct):
    """Bollinger bands: a simple moving average, and `deviations` standard deviations below and above it.

    The deviation is that of the population, divided by `period` and not by one less.
    Source: J. Bollinger, "Bollinger on Bollinger Bands" (2001).
    """

    period: int
    deviations: float
    values: list[float] = []

    def update(self, value: float) -> tuple[float, float, float] | None:
        """Take the next value; return the lower band, the average and the upper band, or None."""
        values, period = self.values, self.period
        values.append(value)
        if len(values) > period:
            del values[0]
        if len(values) < period:
            return None
        mean = sum(values) / period
        width = self.deviations * math.dist(values, [mean] * period) / math.sqrt(period)
        return mean - width, mean, mean + width


class ATR(Struct):
    """Average true range: how far a bar reaches on average, the jump from the last close included.

    Wilder's average: the mean of the first `period` ranges, then each new one weighs 1 / period.
    Source: J. W. Wilder, "New Concepts in Technical Trading Systems" (1978), section III.
    """

    period: int
    seen: int = -1
    last: float = 0.0
    value: float = 0.0

    def update(self, high: float, low: float, close: float) -> float | None:
        """Take the next bar; return the average once there are `period` ranges, so `period + 1` bars."""
        last, self.last = self.last, close
        if self.seen < self.period:
            self.seen += 1
        if not self.seen:
            return None
        reach = max(high, last) - min(low, last)
        self.value += (reach - self.value) / self.seen
        return self.value if self.seen == self.period else None


class Channel(Struct):
    """Donchian channel: the highest high and the lowest low of the `period` bars before the bar at hand.

    With the bar itself among them no close could ever leave the channel.
    Source: R. Donchian, "Trend-Following Methods in Commodity Price Analysis" (1957).
    """

    period: int
    highs: list[float] = []
    lows: list[float] = []

    def update(self, high: float, low: float) -> tuple[float, float] | None:
        """Take the next bar; return the highest high and the lowest low before it, once there are enough."""
        highs, lows = self.highs, self.lows
        edges = (max(highs), min(lows)) if len(highs) == self.period else None
        highs.append(high)
        lows.append(low)
        if len(highs) > self.period:
            del highs[0], lows[0]
        return edges


class Cross(Struct):
    """On which side of another line a line is, and whether it has just changed sides.

    `side` is 1 above, -1 below, 0 on the other line, None before the first update. Lines nearer to each
    other than a billionth of `scale` (the price, for lines of prices) touch: what float arithmetic leaves
    over is no signal.

    >>> cross = Cross()
    >>> [cross.update(line, 10.0, scale=10.0) for line in (9.0, 10.0, 11.0, 12.0, 8.0)]
    [0, 0, 1, 0, -1]
    """

    side: int | None = None

    def update(self, line: float, other: float, scale: float) -> int:
        """Return 1 when the line came above the other, -1 when it came below, else 0."""
        before, distance, noise = self.side, line - other, NOISE * scale
        self.side = side = 1 if distance > noise else -1 if distance < -noise else 0
        return 0 if before is None or side == before else side


def save_state(parameters: Mapping[str, Any], **indicators: Struct) -> dict[str, Any]:
    """Return what `get_state` can return: the indicators as JSON, and the parameters that shaped them."""
    return {"parameters": _shaping(parameters), "indicators": to_builtins(indicators)}


def restore_state(state: Mapping[str, Any], parameters: Mapping[str, Any], **indicators: Struct) -> None:
    """Bring the indicators to where `save_state` found them.

    Raises StrategyRejected when the state was saved under other parameters (but for `cash`) or cannot be
    read, and changes nothing then: the strategy starts anew.
    """
    saved_under, now = state.get("parameters"), _shaping(parameters)
    if saved_under != now:
        raise StrategyRejected(f"the state was saved under the parameters {saved_under}; now they are {now}")
    try:
        saved = {name: convert(state["indicators"][name], type(each)) for name, each in indicators.items()}
    except (ValidationError, KeyError, TypeError) as error:
        raise StrategyRejected(f"the state cannot be read: {type(error).__name__}: {error}") from None
    for name, indicator in indicators.items():
        for field in indicator.__struct_fields__:
            setattr(indicator, field, getattr(saved[name], field))


def _shaping(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name != "cash"}
