"""A worker's part in a test of sealed hosts: spawn, load, send events, hear answers, learn of ends."""

import queue
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from models.market_data import Bar
from services.sandbox.client import Zygote
from services.sandbox.ending import Ending, ending_of
from services.sandbox.orders import Ended
from services.sandbox.protocol import (
    BarEvent,
    Done,
    Event,
    FrameReader,
    FromHost,
    Load,
    Loaded,
    NotLoaded,
    Sealed,
    batch_frame,
    decode_from_host,
    encode_event,
    frame,
)

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)
SECONDS = 20.0
MEMORY_BYTES = 128 * 1024 * 1024
ROUND_TRIPS = 31
FEWEST_ROUND_TRIPS = 5
NOISE_SECONDS = 0.05


def bar(minute: int = 0, close: float = 100.0) -> Bar:
    return Bar("AAPL", "1m", close, close, close, close, 10.0, NOON + timedelta(minutes=minute))


def load(source: str, parameters: Mapping[str, Any] | None = None) -> Load:
    return Load(
        source=source,
        session_key="session-1",
        strategy_id="strategy-1",
        symbol="AAPL",
        session_id="session-1",
        parameters=dict(parameters or {}),
    )


class SealedHost:
    """One host of a zygote, as its worker sees it."""

    def __init__(self, zygote: Zygote) -> None:
        self._ends: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self.process = zygote.spawn(self._ends.put)
        self.process.channel.settimeout(SECONDS)
        self._reader = FrameReader()
        self._heard: list[FromHost] = []
        self._next = 1
        self.killed_for: Ending | None = None
        self.layers: list[str] = []

    def hear(self) -> FromHost:
        """Return the next frame; EOFError when there is none because the host has ended."""
        while not self._heard:
            received = self.process.channel.recv(1 << 16)
            if not received:
                raise EOFError
            self._heard += map(decode_from_host, self._reader.feed(received))
        return self._heard.pop(0)

    def load(self, source: str, parameters: Mapping[str, Any] | None = None) -> Loaded | NotLoaded:
        """Load a source and return what came of it."""
        sealed = self.hear()
        assert isinstance(sealed, Sealed)
        self.layers = sealed.layers
        self.process.channel.sendall(frame(load(source, parameters)))
        while not isinstance(answer := self.hear(), Loaded | NotLoaded):
            pass
        return answer

    def send(self, *events: Event, warm_up: bool = False) -> None:
        """Send a batch."""
        encoded = [encode_event(event) for event in events]
        self.process.channel.sendall(batch_frame(self._next, encoded, warm_up=warm_up))
        self._next += len(events)

    def answers(self, *events: Event, warm_up: bool = False) -> list[FromHost]:
        """Send a batch and return all that is said until it is done."""
        self.send(*events, warm_up=warm_up)
        said: list[FromHost] = []
        while not isinstance(answer := self.hear(), Done):
            said.append(answer)
        return said

    def round_trip(self) -> None:
        """Send a bar and wait until it is done."""
        self.answers(BarEvent(bar(self._next)))

    def kill_for(self, ending: Ending) -> None:
        """Kill it for a reason."""
        self.killed_for = ending
        self.process.kill()

    def end(self) -> Ended:
        """Wait for its end and return what is known of it."""
        return self._ends.get(timeout=SECONDS)

    def ending(self) -> Ending:
        """Wait for its end and return what it meant."""
        return ending_of(self.end(), self.killed_for)

    def close(self) -> None:
        """End it, however it stands."""
        self.process.kill()
        self.process.close()


class Neighbour:
    """A host beside one that attacks, which is to answer as it did just before; `answer` waits until it has.

    Judged by medians, since any one answer may wait for what else the machine does. An answer takes a tenth
    of a millisecond; `NOISE_SECONDS` is far above what a busy machine adds to most of them.
    """

    def __init__(self, answer: Callable[[], None]) -> None:
        self._answer = answer
        self._calm = median(self._answer_seconds() for _ in range(ROUND_TRIPS))
        self._during: list[float] = []

    def answer(self) -> None:
        """Have it answer once more while the attack goes on."""
        self._during.append(self._answer_seconds())

    def assert_undisturbed(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Judge its answers while an attack `goes_on`: enough of them, and a few also where it is short."""
        while len(self._during) < FEWEST_ROUND_TRIPS or (len(self._during) < ROUND_TRIPS and goes_on()):
            self.answer()
        assert median(self._during) < self._calm + NOISE_SECONDS

    def _answer_seconds(self) -> float:
        begun = time.monotonic()
        self._answer()
        return time.monotonic() - begun


@contextmanager
def running(zygote: Zygote) -> Iterator[Zygote]:
    """Run a zygote."""
    zygote.start()
    try:
        yield zygote
    finally:
        zygote.stop()


@contextmanager
def host_of(zygote: Zygote) -> Iterator[SealedHost]:
    """Run a host."""
    host = SealedHost(zygote)
    try:
        yield host
    finally:
        host.close()
