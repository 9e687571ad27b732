"""Averages of a line, and what is made of several of them."""

from msgspec import Struct


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


class MACDLine(Struct):
    """The line of MACD alone: a fast EMA less a slow one, both with their first reading on the same bar.

    Source: G. Appel, "Technical Analysis: Power Tools for Active Investors" (2005).
    """

    fast: int
    slow: int
    skipped: int = 0
    averages: list[EMA] = []

    def __post_init__(self) -> None:
        if not self.averages:
            self.averages = [EMA(self.fast), EMA(self.slow)]

    def update(self, value: float) -> float | None:
        """Take the next value; return the line once there are `slow` values."""
        fast, slow = self.averages
        slow_average = slow.update(value)
        if self.skipped < self.slow - self.fast:
            self.skipped += 1
            return None
        fast_average = fast.update(value)
        if fast_average is None or slow_average is None:
            return None
        return fast_average - slow_average


class TRIX(Struct):
    """The change, in per cent from bar to bar, of an EMA of an EMA of an EMA.

    Source: J. Hutson, "Good TRIX", Technical Analysis of Stocks & Commodities 1 (1983).
    """

    period: int
    last: float | None = None
    averages: list[EMA] = []

    def __post_init__(self) -> None:
        if not self.averages:
            self.averages = [EMA(self.period), EMA(self.period), EMA(self.period)]

    def update(self, value: float) -> float | None:
        """Take the next value; return the change once there are 3 × period - 1 values."""
        smooth: float | None = value
        for average in self.averages:
            if smooth is None:
                return None
            smooth = average.update(smooth)
        last, self.last = self.last, smooth
        return None if smooth is None or not last else (smooth / last - 1.0) * 100.0
