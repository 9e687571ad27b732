"""What the reference OMS has said of every order, in a file: so that it knows them again after a restart."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from models.errors import ConfigError
from services.oms.protocol import OrderRequest, OrderResponse

WHOLE = b"."  # stands at the end of a line that was written whole


class Entry(NamedTuple):
    """An order, and what was said of it last."""

    order: OrderRequest
    said: OrderResponse


class Journal:
    """A file of one line for everything said, written before it is said: the order and the answer in base64.

    A line is with the operating system when `write` returns: it outlives the process, not a power cut. For
    one thread.
    """

    def __init__(self, path: Path) -> None:
        """Raises ConfigError when the file cannot be written."""
        self._path = path
        try:
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}; name another file") from error
        self._end_last_line()

    def write(self, entry: Entry) -> None:
        """Keep what is about to be said. Raises OSError when the disk does not take it."""
        order, said = (base64.b64encode(each.SerializeToString()) for each in entry)
        self._file.write(b" ".join((order, said, WHOLE)) + b"\n")

    def read(self) -> dict[str, Entry]:
        """Return the last entry of every order, by its id, in the order in which they were taken."""
        found: dict[str, Entry] = {}
        for entry in self._entries():
            found[entry.order.id] = entry
        return found

    def close(self) -> None:
        """Write nothing more."""
        self._file.close()

    def _end_last_line(self) -> None:
        """End a line that a killed process left unfinished, so that it spoils no other."""
        if self._file.seek(0, os.SEEK_END):
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")

    def _entries(self) -> Iterator[Entry]:
        with self._path.open("rb") as lines:
            for line in lines:
                *told, last = line.split() or [b""]
                if last == WHOLE:  # else a write that was cut
                    order, said = map(base64.b64decode, told)
                    yield Entry(OrderRequest.FromString(order), OrderResponse.FromString(said))
