"""Everything at once for as long as one wants: random faults under load, while the process must not grow."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

from services.db_client import migrate
from services.embedded import EmbeddedPostgres
from tests.faults import measures
from tests.faults.experiment import Terms
from tests.faults.result import Result
from tests.faults.stage import Stage, open_stage
from tests.gateway_stub import SILENT_DROP, Answer, Received

SYMBOLS = [f"SYM{number}" for number in range(5)]
SESSIONS = 10
INTERVAL = 0.05
QUICK_MINUTES = 1 / 3
PAUSES, QUICK_PAUSES = (3.0, 12.0), (0.5, 2.0)
FAULT_SECONDS, QUICK_FAULT_SECONDS = (0.5, 5.0), (0.3, 1.0)
THREADS_ALLOWED, DESCRIPTORS_ALLOWED, MEMORY_ALLOWED = 3.0, 6.0, 0.05
WARM_UP = 0.25
PARTS = 15
# The worker remembers this many ids and 10,000 more: few enough to be full when the warm-up ends.
OUTBOX_SIZE = "1000"
KIB = 1024
_never = Event()


@dataclass(frozen=True)
class Sample:
    """What a process held at a moment (monotonic seconds)."""

    at: float
    memory_kib: float
    threads: float
    descriptors: float

    @classmethod
    def of(cls, pid: int) -> "Sample":
        """Look into /proc."""
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        fields = dict(line.split(":", 1) for line in status.splitlines())
        held = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        return cls(time.monotonic(), float(fields["VmRSS"].split()[0]), float(fields["Threads"]), held)


@dataclass(frozen=True)
class Soak:
    """Random faults, one after the other, with pauses between."""

    name: str = "soak"
    promise: str = "Under random faults nothing is lost or doubled, and the process does not grow."
    rounds: int = 1

    def run(self, terms: Terms) -> Result:
        """Break whatever chance wants until the time is up."""
        minutes = QUICK_MINUTES if terms.quick else terms.minutes
        result = Result(self.name, self.promise, terms.rounds)
        settings = {"SIGNAL_TTL_SECONDS": "120", "OUTBOX_SIZE": OUTBOX_SIZE, "RECONCILE_SECONDS": "5"}
        with EmbeddedPostgres() as server:
            migrate(server.url)
            with open_stage(server.url, settings) as stage:
                stage.host("decides_seldom", SYMBOLS, [f"s{number}" for number in range(SESSIONS)])
                with sampled(stage.worker.process.pid) as samples, stage.feed.flowing(SYMBOLS, INTERVAL):
                    done = _break_at_random(stage, server, terms, 60 * minutes, result)
                measures.settle(stage, 120)
                result.broken += measures.inexact_sessions(stage)
                result.broken += measures.send(stage, SYMBOLS, 5)
                measures.settle(stage, 120)
                result.expect_nothing_lost(measures.tally(stage))
                result.expect(
                    result.tally.executed == result.tally.decided, "not every decision was executed"
                )
        result.figures["faults"] = " ".join(f"{name}×{count}" for name, count in sorted(done.items()))
        _judge_growth(samples, result)
        return result


def _break_at_random(
    stage: Stage, server: EmbeddedPostgres, terms: Terms, seconds: float, result: Result
) -> Counter[str]:
    chance, done = terms.chance, Counter[str]()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        _never.wait(chance.uniform(*(QUICK_PAUSES if terms.quick else PAUSES)))
        fault = chance.choice(FAULTS)
        done[fault.__name__] += 1
        fault(stage, server, chance.uniform(*(QUICK_FAULT_SECONDS if terms.quick else FAULT_SECONDS)))
        stage.gateway.fault = None
        stage.gateway.forget_requests()
        result.recover.append(measures.recover(stage, time.monotonic()))
    return done


def redis_cut(stage: Stage, _server: EmbeddedPostgres, _seconds: float) -> None:
    """Cut every subscription."""
    stage.feed.client.client_kill_filter(_type="pubsub")


def redis_away(stage: Stage, _server: EmbeddedPostgres, seconds: float) -> None:
    """Kill Redis and start it again."""
    stage.valkey.kill()
    _never.wait(seconds)
    stage.valkey.restart()


def redis_frozen(stage: Stage, _server: EmbeddedPostgres, seconds: float) -> None:
    """Freeze Redis."""
    stage.valkey.pause()
    _never.wait(seconds)
    stage.valkey.resume()


def database_away(_stage: Stage, server: EmbeddedPostgres, seconds: float) -> None:
    """Kill PostgreSQL and start it again."""
    server.kill()
    _never.wait(seconds)
    server.restart()


def database_frozen(_stage: Stage, server: EmbeddedPostgres, seconds: float) -> None:
    """Freeze PostgreSQL."""
    server.pause()
    _never.wait(seconds)
    server.resume()


def gateway_away(stage: Stage, _server: EmbeddedPostgres, seconds: float) -> None:
    """Have connections refused."""
    stage.gateway.go_away()
    _never.wait(seconds)
    stage.gateway.come_back()


def gateway_overloaded(stage: Stage, _server: EmbeddedPostgres, seconds: float) -> None:
    """Answer every POST with 503."""
    stage.gateway.fault = lambda received: Answer(503) if received.method == "POST" else None
    _never.wait(seconds)


def gateway_drops(stage: Stage, _server: EmbeddedPostgres, seconds: float) -> None:
    """Execute every signal and lose the reply."""

    def drop(received: Received) -> Answer | None:
        if received.method != "POST":
            return None
        stage.gateway.execute(received)
        return SILENT_DROP

    stage.gateway.fault = drop
    _never.wait(seconds)


FAULTS: tuple[Callable[[Stage, EmbeddedPostgres, float], None], ...] = (
    redis_cut,
    redis_away,
    redis_frozen,
    database_away,
    database_frozen,
    gateway_away,
    gateway_overloaded,
    gateway_drops,
)


@contextmanager
def sampled(pid: int) -> Iterator[list[Sample]]:
    """Look at a process twice a second, until the block ends."""
    samples: list[Sample] = []
    ended = Event()

    def look() -> None:
        while not ended.wait(0.5):
            samples.append(Sample.of(pid))

    thread = Thread(target=look, name="samples", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def _judge_growth(samples: Sequence[Sample], result: Result) -> None:
    """Expect no growth after the warm-up; memory takes as long to settle as the long form lasts."""
    steady = samples[int(len(samples) * WARM_UP) :]
    minutes = (steady[-1].at - steady[0].at) / 60
    parts = _parts(steady)  # of each the fewest: while requests hang there are more threads, which go again
    began = [part[0] for part in parts]
    slopes = {
        "memory": _slope(steady, [each.memory_kib for each in steady]),
        "threads": _slope(began, [min(each.threads for each in part) for part in parts]),
        "descriptors": _slope(began, [min(each.descriptors for each in part) for part in parts]),
    }
    last = steady[2 * len(steady) // 3 :]
    result.figures["slope of memory at the end KiB/min"] = _slope(last, [each.memory_kib for each in last])
    result.figures["memory MiB"] = steady[-1].memory_kib / KIB
    result.figures["threads"], result.figures["descriptors"] = steady[-1].threads, steady[-1].descriptors
    for what, slope in slopes.items():
        unit = "KiB/min" if what == "memory" else "per min"
        result.figures[f"slope of {what} {unit}"] = slope
    result.expect(slopes["threads"] * minutes <= THREADS_ALLOWED, "threads grow")
    result.expect(slopes["descriptors"] * minutes <= DESCRIPTORS_ALLOWED, "descriptors grow")
    grown = slopes["memory"] * minutes / steady[0].memory_kib
    result.expect_in_time(grown <= MEMORY_ALLOWED, f"memory grew by {grown:.1%} in {minutes:.0f} minutes")


def _parts(samples: Sequence[Sample]) -> list[Sequence[Sample]]:
    """Cut what was seen into PARTS of one length."""
    ends = [len(samples) * part // PARTS for part in range(PARTS + 1)]
    return [samples[first:end] for first, end in pairwise(ends)]


def _slope(samples: Sequence[Sample], values: Sequence[float]) -> float:
    """The least-squares slope, per minute."""
    return statistics.linear_regression([each.at / 60 for each in samples], values).slope


EXPERIMENTS = (Soak(),)
