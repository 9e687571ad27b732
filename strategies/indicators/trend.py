"""How far bars reach, and whether a market goes anywhere."""

from msgspec import Struct


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


class Directional(Struct):
    """Directional movement: the plus and minus indicators, and ADX, how much one outweighs the other.

    Wilder's sums: the first `period - 1` moves are added up, then each new one comes in for a `period`th of
    what there is. ADX is the mean of `period` readings, then smoothed likewise.
    Source: J. W. Wilder, "New Concepts in Technical Trading Systems" (1978), section IV.
    """

    period: int
    moves: int = -1
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    reach: float = 0.0
    plus: float = 0.0
    minus: float = 0.0
    adx: float = 0.0
    summed: int = 0

    def update(self, high: float, low: float, close: float) -> tuple[float, float, float | None] | None:
        """Take the next bar; return plus, minus and ADX after `period` moves, ADX after 2 × period - 1."""
        rise, fall = high - self.high, self.low - low
        reach = max(high, self.close) - min(low, self.close)
        self.high, self.low, self.close = high, low, close
        self.moves += 1
        if not self.moves:
            return None
        period = self.period
        if self.moves >= period:
            self.reach -= self.reach / period
            self.plus -= self.plus / period
            self.minus -= self.minus / period
        self.reach += reach
        if fall > 0 and rise < fall:
            self.minus += fall
        elif rise > 0 and rise > fall:
            self.plus += rise
        if self.moves < period:
            return None
        plus, minus = (100.0 * each / self.reach if self.reach else 0.0 for each in (self.plus, self.minus))
        return plus, minus, self._smooth(plus, minus)

    def _smooth(self, plus: float, minus: float) -> float | None:
        both, period = plus + minus, self.period
        index = 100.0 * abs(plus - minus) / both if both else None
        if self.summed < period:
            self.summed += 1
            self.adx += (index or 0.0) / period
        elif index is not None:
            self.adx = (self.adx * (period - 1) + index) / period
        return self.adx if self.summed == period else None


class Aroon(Struct):
    """Aroon up and down, from 0 to 100: how recent the highest high and the lowest low of `period` bars are.

    Source: T. Chande, "The Time Price Oscillator", Technical Analysis of Stocks & Commodities 13 (1995).
    """

    period: int
    highs: list[float] = []
    lows: list[float] = []

    def update(self, high: float, low: float) -> tuple[float, float] | None:
        """Take the next bar; return up and down once there are `period + 1` bars."""
        highs, lows, period = self.highs, self.lows, self.period
        highs.insert(0, high)
        lows.insert(0, low)
        if len(highs) > period + 1:
            highs.pop()
            lows.pop()
        if len(highs) <= period:
            return None
        up, down = highs.index(max(highs)), lows.index(min(lows))
        return 100.0 * (period - up) / period, 100.0 * (period - down) / period


class ParabolicSAR(Struct):
    """Parabolic stop and reverse: a stop that closes in on a trend, the faster the longer it lasts.

    Source: J. W. Wilder, "New Concepts in Technical Trading Systems" (1978), section II.
    """

    start: float
    increment: float
    most: float
    bars: int = 0
    is_long: bool = True
    high: float = 0.0
    low: float = 0.0
    stop: float = 0.0
    extreme: float = 0.0
    speed: float = 0.0

    def update(self, high: float, low: float) -> float | None:
        """Take the next bar; return the stop of this bar from the second one on."""
        last_high, last_low = self.high, self.low
        self.high, self.low = high, low
        self.bars += 1
        if self.bars == 1:
            return None
        if self.bars == 2:  # noqa: PLR2004 — the second bar tells the direction
            rise, fall = high - last_high, last_low - low
            self.is_long = not (fall > 0 and rise < fall)
            self.stop, self.extreme = (last_low, high) if self.is_long else (last_high, low)
            self.speed, last_high, last_low = self.start, high, low
        edges = (last_low, low) if self.is_long else (last_high, high)
        reached = low <= self.stop if self.is_long else high >= self.stop
        if reached:
            self.is_long = not self.is_long
            edges = (last_low, low) if self.is_long else (last_high, high)
            self.stop = self._outside(self.extreme, edges)
            shown = self.stop
            self.speed, self.extreme = self.start, high if self.is_long else low
        else:
            shown = self.stop
            farthest = max(self.extreme, high) if self.is_long else min(self.extreme, low)
            if farthest != self.extreme:
                self.extreme, self.speed = farthest, min(self.speed + self.increment, self.most)
        self.stop = self._outside(self.stop + self.speed * (self.extreme - self.stop), edges)
        return shown

    def _outside(self, stop: float, edges: tuple[float, float]) -> float:
        """Keep the stop on its side of the last two bars."""
        return min(stop, *edges) if self.is_long else max(stop, *edges)
