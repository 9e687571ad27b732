"""The worker's end of one host's channel: whole frames in and out, without ever waiting."""

from collections.abc import Iterator

from services.sandbox.budgets import Budgets, Meter
from services.sandbox.client import HostProcess
from services.sandbox.protocol import FrameReader, FromHost, decode_from_host

READ_BYTES = 256 * 1024


class Wire:
    """One host that runs. For the thread of the exchange alone.

    `is_open` until the host has closed its end; `loaded` once its strategy is made.
    """

    def __init__(self, process: HostProcess, budgets: Budgets, now: float) -> None:
        process.channel.settimeout(0)
        self.process = process
        self.meter = Meter(budgets, process.pid, now)
        self.is_open = True
        self.loaded = False
        self._reader = FrameReader()
        self._outgoing = bytearray()

    @property
    def is_behind(self) -> bool:
        """Whether something is not written whole."""
        return bool(self._outgoing)

    def send(self, data: bytes) -> None:
        """Write what the channel takes now; keep the rest."""
        self._outgoing += data
        self.write()

    def write(self) -> None:
        """Go on with what was not written whole."""
        try:
            sent = self.process.channel.send(self._outgoing)
        except BlockingIOError:
            return
        except OSError:
            self._outgoing.clear()  # it has ended, which is told by its zygote
        else:
            del self._outgoing[:sent]

    def read(self) -> Iterator[FromHost]:
        """Yield what the host has said. Raises ProtocolViolation."""
        try:
            received = self.process.channel.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        self.is_open = bool(received)
        for body in self._reader.feed(received):
            yield decode_from_host(body)

    def read_to_the_end(self) -> Iterator[FromHost]:
        """Yield the last words of a host that has ended. Raises ProtocolViolation."""
        heard = True
        while self.is_open and heard:
            heard = False
            for said in self.read():
                heard = True
                yield said

    def call_under_way(self) -> int:
        """Return the number of the event that the host says it is at; 0 between calls."""
        call = self.process.page.under_way()
        return call[0] if call else 0
