"""Long series as a page can draw them: fewer points, and none of their extremes lost."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from math import prod
from typing import Any, Self

from models.market_data import Bar
from services.history.broker import Fill
from services.history.equity import EquityCurve
from services.history.statistics import drawdowns, monthly_returns

MOST_CANDLES = 10_000
MOST_POINTS = 4_000
MONTHS = 12


class Candles:
    """One symbol's bars, several to a candle where they are too many; `columns` as the page takes them."""

    def __init__(self, times: Sequence[datetime], columns: dict[str, Any]) -> None:
        self.columns = columns
        self._times = times

    @classmethod
    def of(cls, bars: Iterable[Bar], symbol: str, form: str) -> Self:
        """Put together the candles of a symbol, each named by the time of its first bar."""
        own = [bar for bar in bars if bar.symbol == symbol]
        size = -(-len(own) // MOST_CANDLES) or 1
        groups = [own[place : place + size] for place in range(0, len(own), size)]
        columns = {
            "merged": size,
            "date": [f"{group[0].timestamp:{form}}" for group in groups],
            "open": [group[0].open for group in groups],
            "high": [max(bar.high for bar in group) for group in groups],
            "low": [min(bar.low for bar in group) for group in groups],
            "close": [group[-1].close for group in groups],
        }
        return cls([group[0].timestamp for group in groups], columns | {"symbol": symbol})

    def place(self, time: datetime) -> int:
        """Return the number of the candle that a time falls into."""
        return max(0, bisect_right(self._times, time) - 1)

    def fills(self, fills: Iterable[Fill]) -> list[dict[str, Any]]:
        """Return the fills of this symbol with the candles that they fall into."""
        return [
            {
                "bar": self.place(fill.time),
                "action": fill.action,
                "quantity": fill.quantity,
                "price": fill.price,
            }
            for fill in fills
            if fill.symbol == self.columns["symbol"]
        ]


def drawn_equity(curve: EquityCurve, form: str) -> dict[str, list[Any]]:
    """Return a curve with its drawdowns: of each stretch of many points three that matter."""
    size = -(-3 * len(curve) // MOST_POINTS)
    chosen: Iterable[int] = range(len(curve))
    if size > 3:  # noqa: PLR2004 — three are kept of each stretch
        chosen = sorted(_outstanding(curve.values, size))
    under = drawdowns(curve.values)
    return {
        "date": [f"{curve.times[n]:{form}}" for n in chosen],
        "value": [round(curve.values[n], 2) for n in chosen],
        "drawdown": [round(under[n], 6) for n in chosen],
    }


def _outstanding(values: Sequence[float], size: int) -> set[int]:
    chosen = {0, len(values) - 1}
    for begin in range(0, len(values), size):
        stretch = range(begin, min(begin + size, len(values)))
        chosen |= {min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__), stretch[-1]}
    return chosen


def years(curve: EquityCurve) -> list[dict[str, Any]]:
    """Return the monthly returns year by year, with that of each year; None for months without a value."""
    table: dict[str, list[float | None]] = {}
    for month, value in monthly_returns(curve).items():
        table.setdefault(month[:4], [None] * MONTHS)[int(month[5:]) - 1] = value
    rows = []
    for year, months in table.items():
        total = prod(1.0 + (value or 0.0) for value in months)
        rows.append({"year": year, "months": months, "total": total - 1.0})
    return rows
