"""The host's end of its channel: the only thing that it reads from and writes to."""

import os
from collections import deque

from models.errors import StrategyTimedOut
from services.sandbox.filter import CHANNEL
from services.sandbox.protocol import FrameReader, FromHost, ToHost, decode_to_host, frame

READ_BYTES = 256 * 1024
FLUSH_BYTES = 16 * 1024
LONGEST_FROM_WORKER = 64 * 1024 * 1024


class Interruption:
    """Ends a call that takes too long, when the worker asks for it by a signal.

    It is `allowed` while an author's code runs; in the middle of a frame it waits.
    """

    __slots__ = ("allowed", "asked")

    def __init__(self) -> None:
        self.allowed = False
        self.asked = False

    def ask(self, _signal: int, _frame: object) -> None:
        """Raise StrategyTimedOut if that is allowed now; the handler of the signal."""
        self.asked = True
        self.obey()

    def obey(self) -> None:
        """Raise what was asked for and had to wait."""
        if self.allowed and self.asked:
            self.asked = False
            raise StrategyTimedOut("the call took too long")


class Channel:
    """Frames in, frames out. What is said is collected, and goes out by `flush`."""

    __slots__ = ("_interruption", "_outgoing", "_reader", "_received")

    def __init__(self, interruption: Interruption) -> None:
        self._reader = FrameReader(LONGEST_FROM_WORKER)
        self._received: deque[bytes] = deque()
        self._outgoing = bytearray()
        self._interruption = interruption

    def receive(self) -> ToHost | None:
        """Return the worker's next frame; None when it has gone."""
        while not self._received:
            received = os.read(CHANNEL, READ_BYTES)
            if not received:
                return None
            self._received.extend(self._reader.feed(received))
        return decode_to_host(self._received.popleft())

    def say(self, message: FromHost) -> None:
        """Say something with what is flushed next."""
        self._outgoing += frame(message)
        if len(self._outgoing) >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Have the worker hear what was said, whole frames only."""
        if not self._outgoing:
            return
        interruption = self._interruption
        allowed, interruption.allowed = interruption.allowed, False
        while self._outgoing:
            del self._outgoing[: os.write(CHANNEL, self._outgoing)]
        interruption.allowed = allowed
        interruption.obey()
