"""The rows of many symbols: a file read once, from front to back, and put down symbol by symbol.

What it takes in memory does not grow with the symbols: rows wait in a buffer for their turn to be written to
a file of our own, from which each process reads the symbol that it works on.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Self

from msgspec import Struct

from models.errors import ConfigError
from services.history.engine.spool import Spool
from services.history.rows import LAYOUT, NO_TIME, SymbolRows, timeframe_of
from services.history.table_file import table_rows

BUFFER_BYTES = 16 * 1024 * 1024


class SymbolSlice(Struct, frozen=True):
    """Where the rows of a symbol stand in the file of the universe: (offset, bytes) of each piece."""

    symbol: str
    timeframe: str
    pieces: tuple[tuple[int, int], ...]
    data_hash: str

    def read(self, path: Path) -> SymbolRows:
        """Read the rows."""
        rows = SymbolRows(self.symbol, self.timeframe)
        with path.open("rb") as file:
            for offset, size in self.pieces:
                file.seek(offset)
                for time, *values in LAYOUT.iter_unpack(file.read(size)):
                    rows.add(time, values)
        return rows

    @property
    def size(self) -> int:
        """How many rows there are."""
        return sum(size for _, size in self.pieces) // LAYOUT.size


class Universe:
    """The symbols of a file, and their rows in a file of our own, which goes with `close`."""

    def __init__(self, spool: Spool, slices: dict[str, SymbolSlice]) -> None:
        self._spool = spool
        self.path = spool.path
        self.slices = slices
        self.data_hash = _digest(f"{name} {each.data_hash}" for name, each in sorted(slices.items()))

    @classmethod
    def read(cls, path: Path, *, timeframe: str | None = None) -> Self:
        """Read a CSV, CSV.gz or Parquet file. Raises ConfigError for one that holds no bars.

        `timeframe` names the bars; without it they are named by the step that most of them keep.
        """
        spool = Spool()
        try:
            sorting = _Sorting(spool.file.write)
            for symbol, time, values in table_rows(path):
                sorting.add(symbol, time, LAYOUT.pack(time, *values))
            slices = sorting.finish(timeframe)
            spool.file.flush()
        except BaseException:
            spool.close()
            raise
        if not slices:
            spool.close()
            raise ConfigError(f"{path} holds no rows")
        return cls(spool, slices)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[SymbolSlice]:
        return iter(self.slices.values())

    def chosen(self, symbols: Collection[str]) -> list[SymbolSlice]:
        """Return these symbols, or all where none are named. Raises ConfigError for one that is not there."""
        for symbol in symbols:
            if symbol not in self.slices:
                near = get_close_matches(symbol, self.slices, n=3)
                hint = f"; it has {', '.join(near)}" if near else f" among its {len(self.slices)}"
                raise ConfigError(f"the file has no symbol {symbol!r}{hint}")
        return [each for each in self if not symbols or each.symbol in symbols]

    def close(self) -> None:
        """Take the file of our own away."""
        self._spool.close()


class _Sorting:
    """Takes rows as they come, and writes them symbol by symbol whenever enough of them wait."""

    def __init__(self, write: Callable[[bytearray], int]) -> None:
        self._write = write
        self._waiting: dict[str, bytearray] = {}
        self._waiting_bytes = self._written = 0
        self._pieces: dict[str, list[tuple[int, int]]] = {}
        self._hashes: dict[str, hashlib._Hash] = {}
        self._last: dict[str, int] = {}
        self._steps: Counter[int] = Counter()

    def add(self, symbol: str, time: int, row: bytes) -> None:
        waiting = self._waiting.get(symbol)
        if waiting is None:
            waiting = self._waiting[symbol] = bytearray()
        waiting += row
        last = self._last.get(symbol, NO_TIME)
        if last != NO_TIME and time > last:
            self._steps[time - last] += 1
        self._last[symbol] = time
        self._waiting_bytes += len(row)
        if self._waiting_bytes >= BUFFER_BYTES:
            self._flush()

    def finish(self, timeframe: str | None) -> dict[str, SymbolSlice]:
        self._flush()
        name = timeframe or timeframe_of(self._steps)
        return {
            symbol: SymbolSlice(symbol, name, tuple(pieces), self._hashes[symbol].hexdigest())
            for symbol, pieces in self._pieces.items()
        }

    def _flush(self) -> None:
        for symbol, waiting in self._waiting.items():
            self._pieces.setdefault(symbol, []).append((self._written, len(waiting)))
            self._hashes.setdefault(symbol, hashlib.sha256()).update(waiting)
            self._write(waiting)
            self._written += len(waiting)
        self._waiting.clear()
        self._waiting_bytes = 0


def _digest(lines: Iterator[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()
