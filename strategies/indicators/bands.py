"""Where a price lies between edges that its own past draws."""

import math

from msgspec import Struct


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


class Midpoint(Struct):
    """The middle between the highest high and the lowest low of the last `period` bars.

    The lines of the Ichimoku chart are such. Source: G. Hosoda, "Ichimoku Kinko Hyo" (1969).
    """

    period: int
    highs: list[float] = []
    lows: list[float] = []

    def update(self, high: float, low: float) -> float | None:
        """Take the next bar; return the middle once there are `period` bars."""
        highs, lows = self.highs, self.lows
        highs.append(high)
        lows.append(low)
        if len(highs) > self.period:
            del highs[0], lows[0]
        return (max(highs) + min(lows)) / 2.0 if len(highs) == self.period else None
