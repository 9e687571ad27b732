"""What an account was worth, worked out afterwards from its fills and the prices: nothing is kept per bar."""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, time, timedelta
from operator import attrgetter
from typing import TypeGuard

from models.market_data import Bar, Trade
from services.history.broker import DUST, Fill


class EquityCurve:
    """Cash and holdings at every time at which there was a price, valued at the latest one of each symbol.

    `times`, `values` (quote currency) and `exposed`, 1 where something was held and 0 where not, go together.
    """

    __slots__ = ("exposed", "times", "values")

    def __init__(self, times: Sequence[datetime], values: Sequence[float], exposed: Sequence[int]) -> None:
        self.times = times
        self.values = values
        self.exposed = exposed

    def __len__(self) -> int:
        return len(self.values)

    def by_day(self) -> "EquityCurve":
        """Return the curve at its first time and at the last one of each day (UTC)."""
        last, end = [0], 0
        while end < len(self):
            midnight = datetime.combine(self.times[end].date() + timedelta(days=1), time(), UTC)
            end = bisect_left(self.times, midnight, end)
            if end - 1 > last[-1]:
                last.append(end - 1)
        return EquityCurve(
            [self.times[n] for n in last],
            [self.values[n] for n in last],
            bytearray(self.exposed[n] for n in last),
        )


def trace(
    events: Sequence[Bar | Trade], fills: Sequence[Fill], cash: float, symbols: Collection[str]
) -> EquityCurve:
    """Value an account that began with this cash, after each time at which its symbols had a price."""
    if len(symbols) == 1 and _are_bars(events):
        return _trace_one(events, fills, cash)
    return _trace_many(events, fills, cash)


def _are_bars(events: Sequence[Bar | Trade]) -> TypeGuard[Sequence[Bar]]:
    return set(map(type, events)) == {Bar}


def _trace_one(bars: Sequence[Bar], fills: Sequence[Fill], cash: float) -> EquityCurve:
    """Value one symbol's bars from fill to fill; between two of them only the price moves."""
    times = tuple(map(attrgetter("timestamp"), bars))
    values, exposed = list[float](), bytearray()
    held, begin = 0.0, 0
    for fill in (*fills, None):
        end = len(bars) if fill is None else _place(times, fill.time, begin)
        if end > begin:
            if held:
                values.extend([cash + held * bar.close for bar in bars[begin:end]])
                exposed.extend(b"\1" * (end - begin))
            else:
                values.extend([cash] * (end - begin))
                exposed.extend(bytes(end - begin))
            begin = end
        if fill is not None:
            cash, held = _after(fill, cash, held)
    return EquityCurve(times, values, exposed)


def _place(times: Sequence[datetime], time: datetime, begin: int) -> int:
    """Find a time at or after a place, the sooner the nearer it is."""
    reach = 64
    while begin + reach < len(times) and times[begin + reach] < time:
        reach *= 4
    return bisect_left(times, time, begin, min(begin + reach, len(times)))


def _trace_many(events: Sequence[Bar | Trade], fills: Sequence[Fill], cash: float) -> EquityCurve:
    times: list[datetime] = []
    values, exposed = list[float](), bytearray()
    held: dict[str, float] = {}
    prices: dict[str, float] = {}
    coming = iter(fills)
    fill = next(coming, None)
    for number, event in enumerate(events):
        while fill is not None and fill.time <= event.timestamp:
            cash, held[fill.symbol] = _after(fill, cash, held.get(fill.symbol, 0.0))
            fill = next(coming, None)
        prices[event.symbol] = event.close if isinstance(event, Bar) else event.price
        if number + 1 < len(events) and events[number + 1].timestamp == event.timestamp:
            continue
        times.append(event.timestamp)
        values.append(cash + sum(units * prices[symbol] for symbol, units in held.items() if units))
        exposed.append(any(held.values()))
    return EquityCurve(times, values, exposed)


def _after(fill: Fill, cash: float, held: float) -> tuple[float, float]:
    """Return cash and holding after a fill."""
    value = fill.price * fill.quantity
    if fill.action == "BUY":
        return cash - value - fill.fee, held + fill.quantity
    rest = held - fill.quantity
    return cash + value - fill.fee, rest if abs(rest) > DUST * fill.quantity else 0.0
