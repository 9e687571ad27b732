"""Lines that swing between bounds, or around zero."""

from msgspec import Struct

from strategies.indicators.crossing import NOISE


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


class ROC(Struct):
    """Rate of change: how far a value is from that of `period` values before, in per cent."""

    period: int
    values: list[float] = []

    def update(self, value: float) -> float | None:
        """Take the next value; return the change once there are `period + 1` values."""
        values = self.values
        values.append(value)
        if len(values) <= self.period:
            return None
        before = values.pop(0)
        return (value / before - 1.0) * 100.0 if before else 0.0


class Previous(Struct):
    """The value of `n` values before."""

    n: int
    values: list[float] = []

    def update(self, value: float) -> float | None:
        """Take the next value; return the earlier one once there is one."""
        self.values.append(value)
        return self.values.pop(0) if len(self.values) > self.n else None


class Stochastic(Struct):
    """Fast %K: where the close lies between the lowest low and highest high of `period` bars, in per cent.

    Where those are equal it is 50, which says neither.
    Source: G. Lane, "Lane's Stochastics", Technical Analysis of Stocks & Commodities 2 (1984).
    """

    period: int
    highs: list[float] = []
    lows: list[float] = []

    def update(self, high: float, low: float, close: float) -> float | None:
        """Take the next bar; return %K once there are `period` bars."""
        highs, lows = self.highs, self.lows
        highs.append(high)
        lows.append(low)
        if len(highs) > self.period:
            del highs[0], lows[0]
        if len(highs) < self.period:
            return None
        lowest, highest = min(lows), max(highs)
        return 100.0 * (close - lowest) / (highest - lowest) if highest > lowest else 50.0


class StochasticOf(Struct):
    """The same of any line, with its own lowest and highest values: of an RSI, it is the Stochastic RSI.

    Source: T. Chande, S. Kroll, "The New Technical Trader" (1994).
    """

    period: int
    values: list[float] = []

    def update(self, value: float) -> float | None:
        """Take the next value; return where it lies, in per cent, once there are `period` values."""
        values = self.values
        values.append(value)
        if len(values) > self.period:
            del values[0]
        if len(values) < self.period:
            return None
        lowest, highest = min(values), max(values)
        return 100.0 * (value - lowest) / (highest - lowest) if highest > lowest else 50.0


class CCI(Struct):
    """Commodity channel index: how far the typical price is from its average, in usual distances.

    Source: D. Lambert, "Commodity Channel Index: Tool for Trading Cyclic Trends", Commodities (1980).
    """

    period: int
    values: list[float] = []

    def update(self, high: float, low: float, close: float) -> float | None:
        """Take the next bar; return the index once there are `period` bars."""
        values, period = self.values, self.period
        typical = (high + low + close) / 3.0
        values.append(typical)
        if len(values) > period:
            del values[0]
        if len(values) < period:
            return None
        mean = sum(values) / period
        usual = sum(abs(each - mean) for each in values) / period
        return (typical - mean) / (0.015 * usual) if usual > NOISE * abs(mean) else 0.0
