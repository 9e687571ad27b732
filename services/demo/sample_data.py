"""The prices of the demo: daily bars of five US stocks, 2000 to 2013, recorded in the wheel bokeh_sampledata.

The file is public domain and unadjusted, with an adjusted close beside each close. Every price of a row is
scaled by the ratio of the two, so that a split is no crash; volumes stay as they were traded.

A bar carries midnight UTC of its date. A bar is marked by its start, and a daily bar starts with its day: the
hour of the exchange's close would say when the price is known, but moves with daylight saving time.
"""

import csv
import gzip
import importlib.util
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

from models.market_data import Bar
from services.demo.failure import DemoFailed

PACKAGE = "bokeh_sampledata"
TIMEFRAME = "1d"
DECIMALS = 4  # of prices, so that what is published is what is booked


@dataclass(frozen=True)
class SampleData:
    """Bars of all symbols in the order of their dates, and what had to be done to the rows they come from.

    `repaired` counts rows whose high and low did not enclose the other prices and were widened until they
    did; `skipped` those without a usable date, price or volume.
    """

    bars: tuple[Bar, ...]
    repaired: int
    skipped: int

    @property
    def bars_by_symbol(self) -> Mapping[str, int]:
        """How many bars each symbol has."""
        return Counter(bar.symbol for bar in self.bars)

    def until(self, last: date) -> "SampleData":
        """Return the same without the bars after a date; the counts stay those of the whole file."""
        bars = tuple(bar for bar in self.bars if bar.timestamp.date() <= last)
        return SampleData(bars, self.repaired, self.skipped)


def load_sample_data() -> SampleData:
    """Read the bars that come with the installation.

    Raises DemoFailed when the package is not installed or holds no prices.
    """
    with gzip.open(_prices_file(), mode="rt", encoding="utf-8", newline="") as lines:
        return read_prices(lines)


def read_prices(lines: Iterable[str]) -> SampleData:
    """Make bars of CSV lines with the columns Ticker, Date, Open, High, Low, Close, Volume and Adj Close."""
    bars: list[Bar] = []
    repaired = skipped = 0
    for row in csv.DictReader(lines):
        try:
            bar, was_repaired = _bar(row)
        except (ValueError, TypeError, KeyError):
            skipped += 1
            continue
        bars.append(bar)
        repaired += was_repaired
    bars.sort(key=lambda bar: (bar.timestamp, bar.symbol))
    return SampleData(tuple(bars), repaired, skipped)


def write_prices(bars: Iterable[Bar], path: Path) -> None:
    """Write bars as a file that backtests read. Raises DemoFailed where that cannot be done."""
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("symbol", "date", "open", "high", "low", "close", "volume"))
            for bar in bars:
                prices = bar.open, bar.high, bar.low, bar.close, bar.volume
                writer.writerow((bar.symbol, bar.timestamp.date(), *prices))
    except OSError as error:
        raise DemoFailed(f"{path} cannot be written: {error.strerror}") from error


def _prices_file() -> Path:
    # The package itself is not imported: it would want pandas.
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    for place in places:
        file = Path(place) / "_data" / "stocks.csv.gz"
        if file.is_file():
            return file
    raise DemoFailed(
        f"the recorded prices of {PACKAGE} are not installed: pip install -r requirements-demo.txt"
    )


def _bar(row: Mapping[str, str]) -> tuple[Bar, bool]:
    """Return the adjusted bar of a row, and whether its high and low had to be widened."""
    close = _positive(row["Close"])
    scale = _positive(row["Adj Close"]) / close
    opened, high, low, closed = (
        round(scale * price, DECIMALS)
        for price in (_positive(row["Open"]), _positive(row["High"]), _positive(row["Low"]), close)
    )
    highest, lowest = max(opened, high, low, closed), min(opened, high, low, closed)
    bar = Bar(
        symbol=row["Ticker"],
        timeframe=TIMEFRAME,
        open=opened,
        high=highest,
        low=_positive(lowest),
        close=closed,
        volume=_number(row["Volume"]),
        timestamp=datetime.combine(date.fromisoformat(row["Date"]), time(), UTC),
    )
    return bar, (highest, lowest) != (high, low)


def _positive(given: str | float) -> float:
    number = _number(given)
    if number == 0:
        raise ValueError(given)
    return number


def _number(given: str | float) -> float:
    number = float(given)
    if not math.isfinite(number) or number < 0:
        raise ValueError(given)
    return number
