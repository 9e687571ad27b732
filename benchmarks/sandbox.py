"""What a sealed host costs: to start, to ask, to keep. Beside what the bare system needs for the same."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.effort import Effort
from benchmarks.feed import bar
from benchmarks.rows import Floor, Goal, MeasurementError, Row, compare
from models.market_data import Bar
from services.sandbox.client import HostProcess, Zygote
from services.sandbox.protocol import (
    BarEvent,
    Batch,
    Done,
    FrameReader,
    FromHost,
    Load,
    Loaded,
    Sealed,
    batch_frame,
    decode_from_host,
    decode_to_host,
    encode_event,
    frame,
)

SOURCE = "count = 0\ndef on_bar(bar):\n    global count\n    count += 1\n"
MEMORY_BYTES = 256 * 1024 * 1024
ALLOWED_KIB = 4096.0
BATCH = 500
ANSWER_SECONDS = 10.0
PROCESSES_IN_A_ROUND = 20
READ_BYTES = 1 << 16
NOTHING = "/bin/true"
ECHO = "import os\nwhile received := os.read(0, 1 << 16): os.write(0, received)"


class AskedHost:
    """A host with a strategy that counts bars, asked one batch after the other."""

    def __init__(self, zygote: Zygote) -> None:
        self.process: HostProcess = zygote.spawn(lambda _: None)
        self.process.channel.settimeout(ANSWER_SECONDS)
        self._reader = FrameReader()
        self._expect(Sealed)
        load = Load(
            source=SOURCE, session_key="k", strategy_id="s", symbol="AAPL", session_id=None, parameters={}
        )
        self.process.channel.sendall(frame(load))
        self._expect(Loaded)

    def ask(self, batch: bytes) -> None:
        """Send a batch and wait until it is done."""
        self.process.channel.sendall(batch)
        self._expect(Done)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.close()

    def _expect(self, kind: type[FromHost]) -> None:
        while received := self.process.channel.recv(READ_BYTES):
            for body in self._reader.feed(received):
                if not isinstance(said := decode_from_host(body), kind):
                    raise MeasurementError(f"a host said {said}")
                return
        raise MeasurementError("a host ended")


def sealed_hosts(_url: str, effort: Effort) -> list[Row]:
    """Measure starting, asking and feeding a host, and what one weighs."""
    zygote = Zygote(MEMORY_BYTES)
    zygote.start()
    try:
        return [_starting(zygote, effort), *_asking(zygote, effort), _feeding(zygote, effort), _weighing()]
    finally:
        zygote.stop()


def _starting(zygote: Zygote, effort: Effort) -> Row:
    started, floors = [], []
    for _ in range(effort.rounds):
        started.append(_milliseconds(lambda: AskedHost(zygote).close()))
        floors.append(_milliseconds(_run_nothing))
    return compare(
        "sealed host, from asking for it to its strategy being loaded",
        "ms",
        started,
        Floor(f"running {NOTHING}", floors),
        None,
    )


def _asking(zygote: Zygote, effort: Effort) -> list[Row]:
    one = batch_frame(1, [encode_event(BarEvent(Bar.decode(bar("AAPL", 0))))])
    middle: list[float] = []
    slow: list[float] = []
    bare_middle: list[float] = []
    bare_slow: list[float] = []
    host = AskedHost(zygote)
    with _echo() as ask_echo:
        for _ in range(effort.rounds):
            for ask, medians, tails in ((host.ask, middle, slow), (ask_echo, bare_middle, bare_slow)):
                times = sorted(_microseconds(ask, one) for _ in range(effort.events // 10))
                medians.append(times[len(times) // 2])
                tails.append(times[len(times) * 99 // 100])
    host.close()
    name, floor = "round trip of a bar into a sealed host", "echo of a bare process over a socket"
    return [
        compare(f"{name}, p50", "µs", middle, Floor(floor, bare_middle), None),
        compare(f"{name}, p99", "µs", slow, Floor(floor, bare_slow), None),
    ]


def _feeding(zygote: Zygote, effort: Effort) -> Row:
    """Compare with decoding the same batches in this process and doing nothing about them."""
    event = encode_event(BarEvent(Bar.decode(bar("AAPL", 0))))
    batch = batch_frame(1, [event] * BATCH)
    batches = max(effort.events // BATCH, 1)
    host, fed, decoded = AskedHost(zygote), [], []
    for _ in range(effort.rounds):
        fed.append(_rate(lambda: host.ask(batch), batches))
        decoded.append(_rate(lambda: _decode(batch), batches))
    host.close()
    return compare(
        f"bars into one sealed host, {BATCH} in a batch",
        "bars/s",
        fed,
        Floor("decoding them", decoded),
        None,
    )


def _weighing() -> Row:
    """Weigh hosts that are not sealed: only root may look into the memory of others."""
    zygote = Zygote(MEMORY_BYTES, sealed=False)
    zygote.start()
    hosts = [AskedHost(zygote) for _ in range(PROCESSES_IN_A_ROUND)]
    weights = [_private_kib(host.process.pid) for host in hosts]
    zygote.stop()
    for host in hosts:
        host.close()
    return compare(
        "private memory of a host",
        "KiB",
        [sum(weights) / len(weights)],
        Floor("allowed", [ALLOWED_KIB]),
        Goal(1.0, less_is_better=True),
    )


def _private_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def _decode(batch: bytes) -> None:
    for body in FrameReader(len(batch)).feed(batch):
        if not isinstance(decode_to_host(body), Batch):
            raise MeasurementError("a batch was none")


def _run_nothing() -> None:
    os.waitpid(os.posix_spawn(NOTHING, [NOTHING], {}), 0)


@contextmanager
def _echo() -> Iterator[Callable[[bytes], None]]:
    """Yield what asks a process that only sends back what it reads."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ECHO], stdin=theirs.fileno())  # noqa: S603 — this interpreter, a program of ours

    def ask(message: bytes) -> None:
        ours.sendall(message)
        ours.recv(READ_BYTES)

    yield ask
    ours.close()
    process.wait(ANSWER_SECONDS)


def _microseconds(ask: Callable[[bytes], None], message: bytes) -> float:
    begun = time.perf_counter()
    ask(message)
    return (time.perf_counter() - begun) * 1e6


def _milliseconds(act: Callable[[], None]) -> float:
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1e3


def _rate(act: Callable[[], None], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        act()
    return times * BATCH / (time.perf_counter() - begun)
