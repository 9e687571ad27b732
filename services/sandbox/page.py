"""The page of memory on which a host notes the call under way, and its worker reads it without asking.

Two numbers of eight bytes: the number of the event, 0 between calls, and when the call began in nanoseconds
of the monotonic clock. The host maps the page before it is sealed and writes to it with plain stores.
Nothing keeps hostile code from writing there, too: what is read is a hint, never a proof.
"""

import fcntl
import mmap
import os
import sys
import tempfile

PAGE_BYTES = mmap.PAGESIZE
_NUMBER = 8


class CallPage:
    """The worker's view. `descriptor` goes to the host with the channel. Raises OSError if none is left."""

    def __init__(self) -> None:
        self.descriptor = _page_in_memory() if sys.platform == "linux" else _page_in_a_file()
        try:
            self._memory = mmap.mmap(self.descriptor, PAGE_BYTES, prot=mmap.PROT_READ)
        except OSError:
            self.close_descriptor()
            raise

    def under_way(self) -> tuple[int, int] | None:
        """Return the event whose call is under way, and since when in ns; None between calls."""
        seq = int.from_bytes(self._memory[:_NUMBER], "little")
        since = int.from_bytes(self._memory[_NUMBER : 2 * _NUMBER], "little")
        return (seq, since) if seq else None

    def close(self) -> None:
        """Give the memory back; the host keeps its own mapping."""
        self._memory.close()
        self.close_descriptor()

    def close_descriptor(self) -> None:
        """Give the descriptor back, once the host has it: the memory has one of its own."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _page_in_memory() -> int:
    descriptor = os.memfd_create("call", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, PAGE_BYTES)
    # A page that can shrink would have its reader killed by SIGBUS.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return descriptor


def _page_in_a_file() -> int:
    """Return what systems without files in memory have; code is never sealed on those."""
    with tempfile.TemporaryFile() as file:
        file.truncate(PAGE_BYTES)
        return os.dup(file.fileno())


def map_page(descriptor: int) -> memoryview:
    """Return the host's view of a page as two whole numbers to be written: the event, and since when."""
    return memoryview(mmap.mmap(descriptor, PAGE_BYTES)).cast("Q")
