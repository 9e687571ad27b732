"""How files of history are opened: text, packed or not, and Parquet where pyarrow is installed."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, TextIO

from models.errors import ConfigError

GZIP = b"\x1f\x8b"
PARQUET = {".parquet", ".pq"}


def open_text(path: Path) -> TextIO:
    """Open a text file in UTF-8, whether it is packed by gzip or not. Raises OSError."""
    with path.open("rb") as probe:
        packed = probe.read(len(GZIP)) == GZIP
    if packed:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


@contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    """Open a Parquet file. Raises ConfigError where pyarrow is not installed, and for what is none."""
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415 — optional weight
    except ImportError:
        raise ConfigError(
            f"{path} is Parquet: pip install -r requirements-history.txt, or give a CSV"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except ArrowException as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def as_text(value: object) -> str:
    """Return a value of a Parquet file as a CSV has it."""
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
