"""Trades from a file: CSV, gzip CSV or Parquet with the columns symbol, timestamp, price and size."""

import csv
import zlib
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path

import msgspec

from models.errors import ConfigError, DecodeError
from models.market_data import Trade
from services.history.file_formats import PARQUET, as_text, open_parquet, open_text
from services.history.rows import NO_TIME, moment_of, read_number, read_time

COLUMNS = ("symbol", "timestamp", "price", "size")
ROWS_AT_ONCE = 65_536


def holds_trades(path: Path) -> bool:
    """Tell by its columns whether a file holds trades. Raises ConfigError where it cannot be read."""
    return set(COLUMNS) <= {name.strip().lower() for name in next(_rows(path), [])}


def read_trades(path: Path) -> tuple[Trade, ...]:
    """Read the trades of a file, in time's order. Raises ConfigError for a row that is none."""
    rows = _rows(path)
    names = [name.strip().lower() for name in next(rows, [])]
    if missing := [name for name in COLUMNS if name not in names]:
        raise ConfigError(f"{path} has no column {', '.join(missing)}")
    places = [names.index(name) for name in COLUMNS]
    trades = []
    for number, row in enumerate(rows, 2):
        if not row:
            continue
        try:
            trades.append(_trade(*(row[place] for place in places)))
        except (IndexError, DecodeError) as error:
            raise ConfigError(f"{path}, line {number} is no trade: {error}") from None
    if not trades:
        raise ConfigError(f"{path} holds no trades")
    return tuple(sorted(trades, key=attrgetter("timestamp")))


def _trade(symbol: str, timestamp: str, price: str, size: str) -> Trade:
    time = read_time(timestamp)
    if time == NO_TIME:
        raise DecodeError("invalid_value", f"{timestamp!r} is no time")
    trade = Trade(symbol, read_number(price), read_number(size), moment_of(time))
    return Trade.decode(msgspec.json.encode(trade))


def _rows(path: Path) -> Iterator[Sequence[str]]:
    """Give the names of the columns, then every row, as texts."""
    try:
        if path.suffix in PARQUET:
            yield from _parquet_rows(path)
            return
        with open_text(path) as file:
            yield from csv.reader(file)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _parquet_rows(path: Path) -> Iterator[Sequence[str]]:
    with open_parquet(path) as file:
        yield file.schema_arrow.names
        for batch in file.iter_batches(ROWS_AT_ONCE):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield [as_text(value) for value in row]
