"""Files of bars, row by row as they stand there: CSV, CSV.gz, and Parquet where pyarrow is installed."""

import csv
import zlib
from collections.abc import Iterable, Iterator, Sequence
from math import nan
from pathlib import Path

from models.errors import ConfigError
from services.history.file_formats import PARQUET, as_text, open_parquet, open_text
from services.history.rows import COLUMNS, read_number, read_time

FileRow = tuple[str, int, tuple[float, ...]]
"""A symbol, a time in microseconds, and the five values of a row."""

TIMES = ("timestamp", "date")
ROWS_AT_ONCE = 65_536


def table_rows(path: Path) -> Iterator[FileRow]:
    """Give every row of a file in its order; a value that is blank or unreadable is NaN, a time NO_TIME.

    Raises ConfigError for a file that is not there, cannot be read, or lacks a column.
    """
    for _, row in numbered_rows(path):
        yield row


def numbered_rows(path: Path) -> Iterator[tuple[int, FileRow]]:
    """Give every row as `table_rows` does, after the line on which a CSV has it, or its number in Parquet."""
    if not path.is_file():
        raise ConfigError(f"{path} is no file")
    try:
        yield from _parquet_rows(path) if path.suffix in PARQUET else _csv_rows(path)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _csv_rows(path: Path) -> Iterator[tuple[int, FileRow]]:
    with open_text(path) as file:
        reader = csv.reader(file)
        places = _places(path, [name.strip().lower() for name in next(reader, [])])
        least = max(places) + 1
        symbol_at, time_at, *value_at = places
        for fields in reader:
            if not fields:
                continue
            if len(fields) < least:
                fields.extend([""] * (least - len(fields)))
            values = tuple(read_number(fields[place]) for place in value_at)
            yield reader.line_num, (fields[symbol_at], read_time(fields[time_at]), values)


def _parquet_rows(path: Path) -> Iterator[tuple[int, FileRow]]:
    with open_parquet(path) as file:
        names = [name.strip().lower() for name in file.schema_arrow.names]
        places = _places(path, names)
        wanted = [file.schema_arrow.names[place] for place in places]
        number = 0
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=wanted):
            symbols, times, *values = (batch.column(name).to_pylist() for name in wanted)
            for symbol, time, *row in zip(symbols, times, *values, strict=True):
                number += 1
                yield number, (str(symbol), read_time(as_text(time)), tuple(map(_number, row)))


def _number(value: object) -> float:
    return (
        float(value) if isinstance(value, int | float) else nan if value is None else read_number(str(value))
    )


def _places(path: Path, names: Sequence[str]) -> list[int]:
    """Return where symbol, time and the five values stand in a row. Raises ConfigError naming what lacks."""
    time = next((name for name in TIMES if name in names), None)
    wanted: Iterable[str] = ("symbol", *COLUMNS)
    missing = [name for name in wanted if name not in names]
    if time is None:
        missing.insert(1 if "symbol" in missing else 0, "timestamp or date")
    if missing or time is None:
        raise ConfigError(
            f"{path} has no column {', '.join(missing)}; it must have symbol, timestamp or date, "
            "open, high, low, close, volume"
        )
    return [names.index(name) for name in ("symbol", time, *COLUMNS)]
