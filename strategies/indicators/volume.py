"""What volume says of a price."""

from msgspec import Struct

from strategies.indicators.crossing import NOISE


class OBV(Struct):
    """On balance volume: the volume of bars that closed higher, less that of bars that closed lower.

    Source: J. Granville, "Granville's New Key to Stock Market Profits" (1963).
    """

    total: float = 0.0
    last: float | None = None

    def update(self, close: float, volume: float) -> float:
        """Take the next bar; return the balance so far."""
        last, self.last = self.last, close
        if last is None or close > last:
            self.total += volume
        elif close < last:
            self.total -= volume
        return self.total


class VWAP(Struct):
    """Volume weighted average of the typical price, over the last `period` bars."""

    period: int
    amounts: list[float] = []
    volumes: list[float] = []

    def update(self, high: float, low: float, close: float, volume: float) -> float | None:
        """Take the next bar; return the average once there are `period` bars, and any volume in them."""
        amounts, volumes = self.amounts, self.volumes
        amounts.append((high + low + close) / 3.0 * volume)
        volumes.append(volume)
        if len(amounts) > self.period:
            del amounts[0], volumes[0]
        traded = sum(volumes)
        return sum(amounts) / traded if len(amounts) == self.period and traded else None


class CMF(Struct):
    """Chaikin money flow, from -1 to 1: volume weighted by where in its range each bar closed.

    Source: M. Chaikin, as given in S. Achelis, "Technical Analysis from A to Z" (2000).
    """

    period: int
    flows: list[float] = []
    volumes: list[float] = []

    def update(self, high: float, low: float, close: float, volume: float) -> float | None:
        """Take the next bar; return the flow once there are `period` bars, and any volume in them."""
        flows, volumes = self.flows, self.volumes
        flows.append(((close - low) - (high - close)) / (high - low) * volume if high > low else 0.0)
        volumes.append(volume)
        if len(flows) > self.period:
            del flows[0], volumes[0]
        traded = sum(volumes)
        return sum(flows) / traded if len(flows) == self.period and traded else None


class MFI(Struct):
    """Money flow index, from 0 to 100: an RSI of typical price times volume. Where nothing flowed it is 50.

    Source: G. Quong, A. Soudack, Technical Analysis of Stocks & Commodities 7 (1989).
    """

    period: int
    last: float | None = None
    gains: list[float] = []
    losses: list[float] = []

    def update(self, high: float, low: float, close: float, volume: float) -> float | None:
        """Take the next bar; return the index once there are `period + 1` bars."""
        typical = (high + low + close) / 3.0
        last, self.last = self.last, typical
        if last is None:
            return None
        gains, losses = self.gains, self.losses
        noise = NOISE * typical
        gains.append(typical * volume if typical - last > noise else 0.0)
        losses.append(typical * volume if last - typical > noise else 0.0)
        if len(gains) > self.period:
            del gains[0], losses[0]
        if len(gains) < self.period:
            return None
        gained, both = sum(gains), sum(gains) + sum(losses)
        return 100.0 * gained / both if both else 50.0
