"""Recordings: what was published over Redis, with the time at which it came, in files that rotate.

A file is gzip CSV with the columns received_at, channel and payload. Each group of rows is a gzip member of
its own, written at once: whatever happens to the writer, the groups before are whole, and a torn last one is
passed over. A finished file may be made a Parquet file of the same columns.
"""

import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Literal

from models.errors import ConfigError, StorageUnavailable
from services.history.file_formats import GZIP, PARQUET, open_parquet
from services.history.replay import Message

COLUMNS = ("received_at", "channel", "payload")
HEADER = (",".join(COLUMNS) + "\r\n").encode()
GZIP_MEMBER = 31  # zlib's word for it
GROUP_BYTES = 1024 * 1024
GROUP_SECONDS = 1.0
NAME = "recording-%Y%m%dT%H%M%S.%fZ.csv.gz"
READ_BYTES = 256 * 1024
ROWS_AT_ONCE = 10_000
LEVEL = 5


class RecordingWriter:
    """Writes messages into files of a folder. Not safe for two threads.

    A group is written after `GROUP_SECONDS` or `GROUP_BYTES`, a new file begun after `rotate_bytes` or
    `rotate_seconds`. Raises ConfigError where Parquet is wanted and pyarrow not installed, OSError for a
    folder that cannot be made, StorageUnavailable for a disk that takes no more.
    """

    def __init__(
        self,
        folder: Path,
        form: Literal["csv", "parquet"] = "csv",
        *,
        rotate_bytes: int = 64 * 1024 * 1024,
        rotate_seconds: float = 3600.0,
    ) -> None:
        if form == "parquet":
            _parquet()
        folder.mkdir(parents=True, exist_ok=True)
        self.messages = self.written = 0
        self._folder = folder
        self._rotate_bytes, self._rotate_seconds = rotate_bytes, rotate_seconds
        self._rows = io.StringIO(newline="")
        self._lines = csv.writer(self._rows)
        self._file: IO[bytes] | None = None
        self._began_at = self._group_at = 0.0
        self._path = folder
        self._converter = ThreadPoolExecutor(1, "recording-parquet") if form == "parquet" else None
        self._conversions: list[Future[None]] = []
        if self._converter is not None:
            for left in sorted(folder.glob("recording-*.csv.gz")):
                self._conversions.append(self._converter.submit(to_parquet, left))

    def add(self, message: Message) -> None:
        """Take one message; it is on disk after the next flush."""
        if not self._rows.tell():
            self._group_at = message.at
        at = datetime.fromtimestamp(message.at, UTC).isoformat(timespec="microseconds")
        self._lines.writerow((at, message.channel, message.payload.decode(errors="surrogateescape")))
        self.messages += 1
        if self._rows.tell() >= GROUP_BYTES:
            self.flush(message.at)

    def flush_due(self, now: float) -> None:
        """Write what has waited for long enough, and begin another file where it is time."""
        if self._rows.tell() and now - self._group_at >= GROUP_SECONDS:
            self.flush(now)
        if self._file is not None and now - self._began_at >= self._rotate_seconds:
            self._finish_file()

    def flush(self, now: float) -> None:
        """Write what waits, to the disk."""
        if not self._rows.tell():
            return
        file = self._file or self._begin_file(now)
        rows = self._rows.getvalue().encode(errors="surrogateescape")
        self._rows.seek(0)
        self._rows.truncate()
        try:
            file.write(gzip.compress(rows if file.tell() else HEADER + rows, LEVEL))
            os.fsync(file.fileno())
        except OSError as error:  # it names no file
            raise StorageUnavailable(f"{self._path} cannot be written: {error.strerror}") from error
        self.written = self.messages
        if file.tell() >= self._rotate_bytes:
            self._finish_file()

    def close(self) -> None:
        """Write what waits, and end the last file."""
        self.flush(self._group_at)
        self._finish_file()
        if self._converter is not None:
            self._converter.shutdown()
            for each in self._conversions:
                each.result()

    def _begin_file(self, now: float) -> IO[bytes]:
        moment = datetime.fromtimestamp(now, UTC)
        while (path := self._folder / moment.strftime(NAME)).exists():
            moment += timedelta(microseconds=1)
        self._path = path
        self._file = self._path.open("xb", buffering=0)
        self._began_at = now
        return self._file

    def _finish_file(self) -> None:
        if self._file is None:
            return
        self._file.close()
        self._file = None
        if self._converter is not None:
            self._conversions.append(self._converter.submit(to_parquet, self._path))


def is_recording(path: Path) -> bool:
    """Tell whether a path is a folder of recordings, or a file that begins like one."""
    if path.is_dir():
        return True
    if path.suffix in PARQUET:
        with open_parquet(path) as columns:
            return tuple(columns.schema_arrow.names) == COLUMNS
    with path.open("rb") as file:
        beginning = file.read(READ_BYTES)
    try:
        if beginning.startswith(GZIP):
            beginning = zlib.decompressobj(GZIP_MEMBER).decompress(beginning, len(HEADER))
    except zlib.error:
        return False
    return beginning.startswith(HEADER.strip())


def read_recording(path: Path) -> Iterator[Message]:
    """Give the messages of a file, or of every file of a folder, in the order in which they came.

    Raises ConfigError for what cannot be read.
    """
    if not path.is_dir():
        yield from _parquet_messages(path) if path.suffix in PARQUET else _csv_messages(path)
        return
    files = sorted(each for each in path.iterdir() if each.name.startswith("recording-"))
    if not files:
        raise ConfigError(f"{path} holds no recordings")
    for each in files:
        if each.suffix in PARQUET or each.name.endswith(".csv.gz"):
            yield from read_recording(each)


def to_parquet(path: Path) -> None:
    """Put a Parquet file in the place of a finished CSV, whole or not at all."""
    parquet = _parquet()
    import pyarrow as pa  # noqa: PLC0415 — optional weight

    kinds = (pa.timestamp("us", tz="UTC"), pa.string(), pa.binary())
    schema = pa.schema(list(zip(COLUMNS, kinds, strict=True)))
    unfinished = path.with_name(f".{path.name}.part")
    with parquet.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        for rows in _batches(_csv_messages(path)):
            columns = (
                [datetime.fromtimestamp(each.at, UTC) for each in rows],
                [each.channel for each in rows],
                [each.payload for each in rows],
            )
            writer.write_table(pa.table(dict(zip(COLUMNS, columns, strict=True)), schema=schema))
    unfinished.replace(path.with_name(path.name.removesuffix(".csv.gz") + ".parquet"))
    path.unlink()


def _batches(messages: Iterator[Message]) -> Iterator[list[Message]]:
    batch: list[Message] = []
    for each in messages:
        batch.append(each)
        if len(batch) == ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _members(path: Path) -> Iterator[bytes]:
    """Give what each whole gzip member holds; a file that is not packed is given in one piece."""
    try:
        with path.open("rb") as file:
            data = file.read(READ_BYTES)
            if not data.startswith(GZIP):
                yield data + file.read()
                return
            unpacker, parts = zlib.decompressobj(GZIP_MEMBER), []
            while data:
                parts.append(unpacker.decompress(data))
                data = unpacker.unused_data if unpacker.eof else file.read(READ_BYTES)
                if unpacker.eof:
                    yield b"".join(parts)
                    unpacker, parts = zlib.decompressobj(GZIP_MEMBER), []
                    data = data or file.read(READ_BYTES)
    except (OSError, zlib.error) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _csv_messages(path: Path) -> Iterator[Message]:
    for member in _members(path):
        text = io.StringIO(member.decode(errors="surrogateescape"), newline="")
        for row in csv.reader(text):
            if tuple(row) == COLUMNS or len(row) != len(COLUMNS):
                continue
            try:
                at = datetime.fromisoformat(row[0]).timestamp()
            except ValueError:
                raise ConfigError(f"{path} is no recording: {row[0]!r} is no time") from None
            yield Message(at, row[1], row[2].encode(errors="surrogateescape"))


def _parquet_messages(path: Path) -> Iterator[Message]:
    with open_parquet(path) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(COLUMNS)):
            columns = (batch.column(name).to_pylist() for name in COLUMNS)
            for at, channel, payload in zip(*columns, strict=True):
                yield Message(at.timestamp(), channel, payload)


def _parquet() -> Any:
    try:
        from pyarrow import parquet  # noqa: PLC0415 — optional weight
    except ImportError:
        raise ConfigError("Parquet needs pyarrow: pip install -r requirements-history.txt") from None
    return parquet
