"""Bars from a file, for strategies to be played: what is no bar is left out and named with its line."""

import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256
from heapq import merge
from operator import attrgetter
from pathlib import Path

from msgspec import Struct

from models.errors import ConfigError
from models.market_data import SYMBOL_PATTERN, Bar
from services.history.data_checks import Kind, trouble_of
from services.history.rows import COLUMNS, LAYOUT, NO_TIME, SymbolRows, microseconds_of, timeframe_of
from services.history.table_file import FileRow, numbered_rows
from strategies.parameters import suggest


class Problem(Struct, frozen=True):
    """A row that is no bar: the line on which a CSV has it (its number in Parquet), and why."""

    line: int
    symbol: str
    kind: Kind
    detail: str

    def __str__(self) -> str:
        what = f"{self.symbol} {self.detail}".strip()
        return f"line {self.line}: {what}: {self.kind}"


class BarFile(Struct, frozen=True):
    """The bars of a file by symbol, each in time's order, and the rows that are none.

    They are tuples, because the garbage collector looks through a long list at every turn, and through a
    tuple of bars only once.
    """

    bars: dict[str, tuple[Bar, ...]]
    problems: tuple[Problem, ...]

    def in_order(self) -> tuple[Bar, ...]:
        """Return the bars of all symbols in time's order; at one time in that of their names."""
        return in_order(self.bars[symbol] for symbol in sorted(self.bars))


def read_bars(
    path: Path,
    *,
    symbols: Collection[str] | None = None,
    watched: Collection[str] = (),
    timeframe: str | None = None,
) -> BarFile:
    """Read a CSV, gzip CSV or Parquet file with symbol, timestamp or date, open, high, low, close, volume.

    Where `symbols` are given, nothing is kept of others, but of those that are `watched` where there are any.
    `timeframe` names the bars; without it they are named by the step that most of them keep. Raises
    ConfigError for a file that cannot be read, lacks one of the symbols, or holds no bar at all.
    """
    return gather(numbered_rows(path), str(path), symbols=symbols, watched=watched, timeframe=timeframe)


def gather(
    numbered: Iterable[tuple[int, FileRow]],
    source: str,
    *,
    symbols: Collection[str] | None = None,
    watched: Collection[str] = (),
    timeframe: str | None = None,
) -> BarFile:
    """Sort rows by their symbols, and the bars among them from what is none, as `read_bars` does."""
    tables: dict[str, tuple[SymbolRows, array[int]]] = {}
    for line, (symbol, time, values) in numbered:
        if symbol not in tables:
            tables[symbol] = (SymbolRows(symbol, ""), array("q"))
        if symbols is not None and symbol not in symbols and symbol not in watched:
            continue
        rows, lines = tables[symbol]
        rows.add(time, values)
        lines.append(line)
    for symbol in symbols or ():
        if symbol not in tables:
            raise ConfigError(f"{source} has no bars of {symbol!r}{suggest(symbol, tables)}")
    usable: dict[str, SymbolRows] = {}
    problems: list[Problem] = []
    for symbol, (rows, lines) in tables.items():
        kept = _bars_among(rows, lines, problems)
        if len(kept):
            usable[symbol] = kept
    if not usable:
        raise ConfigError(f"{source} holds no bars" + (f"; {problems[0]}" if problems else ""))
    name = timeframe or timeframe_of(_steps(usable.values()))
    for rows in usable.values():
        rows.timeframe = name
    bars = {symbol: tuple(rows.bars()) for symbol, rows in usable.items()}
    return BarFile(bars, tuple(sorted(problems, key=attrgetter("line"))))


def _bars_among(rows: SymbolRows, lines: Sequence[int], problems: list[Problem]) -> SymbolRows:
    """Return the rows that are bars, and note the others."""
    if not re.fullmatch(SYMBOL_PATTERN, rows.symbol):
        detail = f"{rows.symbol!r} is no symbol"
        problems.extend(Problem(line, "", Kind.NO_SYMBOL, detail) for line in lines)
        return rows.chosen(())
    chosen, last = [], NO_TIME
    for number, time in enumerate(rows.times):
        trouble = trouble_of(rows, number, last)
        if trouble is None:
            chosen.append(number)
            last = time
        else:
            kind, words = trouble
            problems.append(Problem(lines[number], rows.symbol, kind, f"{rows.day(number)}{words}"))
    return rows if len(chosen) == len(rows) else rows.chosen(chosen)


def _steps(tables: Iterable[SymbolRows]) -> Counter[int]:
    steps: Counter[int] = Counter()
    for rows in tables:
        times = rows.times
        steps.update(map(int.__sub__, times[1:], times[:-1]))
    return steps


def in_order(series: Iterable[Sequence[Bar]]) -> tuple[Bar, ...]:
    """Merge bars of several symbols, each in time's order, into one such series."""
    each = list(series)
    return tuple(each[0]) if len(each) == 1 else tuple(merge(*each, key=attrgetter("timestamp")))


def hash_of(bars: Iterable[Bar]) -> str:
    """Return the SHA-256, in hex, of bars: of their symbols, times and values, wherever they came from."""
    digest = sha256()
    symbol = None
    for bar in bars:
        if bar.symbol != symbol:
            symbol = bar.symbol
            digest.update(f"{symbol}\n".encode())
        digest.update(LAYOUT.pack(microseconds_of(bar.timestamp), *(getattr(bar, name) for name in COLUMNS)))
    return digest.hexdigest()
