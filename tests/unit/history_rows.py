"""Rows made by hand, for what looks at them."""

from math import nan

from services.history.rows import SymbolRows, read_time

BLANK = nan
Row = tuple[str, float, float, float, float, float]


def rows_of(*rows: Row, timeframe: str = "1d") -> SymbolRows:
    """Make rows of (time, open, high, low, close, volume)."""
    made = SymbolRows("AAPL", timeframe)
    for time, *values in rows:
        made.add(read_time(time), values)
    return made


def closes(*prices: float, first_day: int = 1) -> SymbolRows:
    """Make daily rows of January 2024 that stand still at each price."""
    return rows_of(
        *(
            (f"2024-01-{first_day + number:02}", price, price, price, price, 1.0)
            for number, price in enumerate(prices)
        )
    )


def texts(rows: SymbolRows) -> list[tuple[float, ...]]:
    """Give the five values of every row."""
    return list(zip(*rows.columns.values(), strict=True))
