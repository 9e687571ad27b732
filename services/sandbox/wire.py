"""The worker's end of one host's channel: whole frames in and out, without ever waiting."""

import time
from collections.abc import Iterator

from services.sandbox.budgets import Budgets, Meter
from services.sandbox.client import HostProcess
from services.sandbox.protocol import FrameReader, FromHost, decode_from_host

READ_BYTES = 16 * 1024  # at a time: who floods its channel is not read to its end while others wait
NANOSECONDS = 1e9


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
        self._paused = False
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
        """Yield what the host has said, but no more than a part. Raises ProtocolViolation."""
        yield from self._understand(self._receive())

    def read_to_the_end(self) -> Iterator[FromHost]:
        """Yield the last words of a host that has ended. Raises ProtocolViolation."""
        while received := self._receive():
            yield from self._understand(received)

    def computed(self) -> float:
        """Return for how many processor seconds the call under way has computed, when last looked at."""
        return self.meter.computed

    def pause(self) -> None:
        """Stop the host, and its clock, unless it is stopped."""
        if not self._paused:
            self._paused = True
            self.process.pause()
            self.meter.pause(time.monotonic())

    def resume(self) -> None:
        """Have the host and its clock go on, unless they do."""
        if self._paused:
            self._paused = False
            self.process.resume()
            self.meter.resume(time.monotonic())

    def demote(self) -> None:
        """Have the host run from now on when nobody else wants to."""
        self.process.demote()

    def call_under_way(self) -> tuple[int, float]:
        """Return the event that the host says it is at, or 0, and since when (monotonic seconds)."""
        number, since = self.process.page.under_way() or (0, time.monotonic_ns())
        return number, since / NANOSECONDS

    def _receive(self) -> bytes:
        """Take the next bytes; none where there are none now, or, when it is no more open, ever."""
        try:
            received = self.process.channel.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            received = b""
        self.is_open = bool(received)
        return received

    def _understand(self, received: bytes) -> Iterator[FromHost]:
        for body in self._reader.feed(received):
            yield decode_from_host(body)
