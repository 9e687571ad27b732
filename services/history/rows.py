"""One symbol's rows as its file has them, before anybody looked whether they are bars."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from math import nan
from struct import Struct as Layout
from typing import Self

from models.market_data import Bar

NO_TIME = -(2**63)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
COLUMNS = ("open", "high", "low", "close", "volume")
STEPS = {1: "s", 60: "m", 3_600: "h", 86_400: "d"}

LAYOUT = Layout("<q5d")
"""A row on disk: microseconds since 1970 in UTC, then open, high, low, close, volume."""


class SymbolRows:
    """The rows of one symbol in their file's order, column by column.

    `times` are microseconds since 1970 in UTC, NO_TIME where the file's text is none. A value that the file
    does not have, or that is no number, is NaN.
    """

    __slots__ = ("columns", "symbol", "timeframe", "times")

    def __init__(self, symbol: str, timeframe: str) -> None:
        self.symbol = symbol
        self.timeframe = timeframe
        self.times = array("q")
        self.columns = {name: array("d") for name in COLUMNS}

    def __len__(self) -> int:
        return len(self.times)

    def add(self, time: int, values: Iterable[float]) -> None:
        """Add one row: its time and the five values in the order of COLUMNS."""
        self.times.append(time)
        for column, value in zip(self.columns.values(), values, strict=True):
            column.append(value)

    def chosen(self, numbers: Iterable[int]) -> Self:
        """Return the rows of these numbers, in that order."""
        numbers = list(numbers)
        chosen = type(self)(self.symbol, self.timeframe)
        chosen.times = array("q", map(self.times.__getitem__, numbers))
        chosen.columns = {
            name: array("d", map(column.__getitem__, numbers)) for name, column in self.columns.items()
        }
        return chosen

    def day(self, number: int) -> str:
        """Say when a row is, for a person: the day, and the time where it is not midnight."""
        if self.times[number] == NO_TIME:
            return f"row {number + 1}"
        moment = moment_of(self.times[number])
        at_midnight = moment.time() == EPOCH.time()
        return moment.date().isoformat() if at_midnight else moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def bars(self) -> Iterator[Bar]:
        """Give every row as a bar; what is none must have been left out before."""
        symbol, timeframe = self.symbol, self.timeframe
        for time, opened, high, low, close, volume in zip(self.times, *self.columns.values(), strict=True):
            yield Bar(symbol, timeframe, opened, high, low, close, volume, moment_of(time))


def moment_of(time: int) -> datetime:
    """Return the moment of a row's time."""
    return EPOCH + timedelta(microseconds=time)


def microseconds_of(moment: datetime) -> int:
    """Return a row's time; a moment without a zone is one in UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (aware - EPOCH) // MICROSECOND


def read_time(text: str) -> int:
    """Read a date or a timestamp; one without a zone is UTC. NO_TIME for what is neither."""
    try:
        return microseconds_of(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return NO_TIME


def read_number(text: str) -> float:
    """Read a number; NaN for a blank, and for what is none."""
    try:
        return float(text)
    except ValueError:
        return nan


def timeframe_of(steps: Counter[int]) -> str:
    """Name the step, in microseconds, that most bars keep: 60 seconds is 1m, a day 1d."""
    if not steps:
        return "1d"
    seconds = max(1, round(steps.most_common(1)[0][0] * MICROSECOND.total_seconds()))
    unit = max(unit for unit in STEPS if seconds % unit == 0)
    return f"{seconds // unit}{STEPS[unit]}"
