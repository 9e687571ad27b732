"""Strategies × universe through `engine run`, results in PostgreSQL: time, growth of time, and of memory."""

import csv
import gzip
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

from benchmarks.databases import durable_database
from benchmarks.effort import Effort
from benchmarks.processes import REPOSITORY
from benchmarks.rows import Floor, Goal, MeasurementError, Row, compare

SHARED = REPOSITORY.parent / "shared" / "data" / "universe_daily.csv.gz"
HEADER = ("symbol", "date", "open", "high", "low", "close", "volume")
STRATEGIES = "momentum,mean_reversion,trend_following,rsi_reversion"
WORKERS = 2
SYMBOLS, DAYS = 300, 1_200
QUICK_SYMBOLS, QUICK_DAYS = 6, 60
FIRST_DAY = date(2020, 1, 1)
SECONDS_PER_RUN = 0.02
SECONDS_IN_ALL = 60.0
TWICE = 2.0 * 1.15
GROWTH_ALLOWED = 1.1
LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 600.0

Lines = list[tuple[str, ...]]


class Ran(NamedTuple):
    """What one run took: seconds by its own account, runs, and the most memory of all its processes, KiB."""

    seconds: float
    runs: int
    memory: float


def universe(_url: str, effort: Effort) -> list[Row]:
    """Run the universe, then one with every symbol twice, by turns."""
    quick = effort.form == "quick"
    once: list[Ran] = []
    twice: list[Ran] = []
    with durable_database() as database_url, tempfile.TemporaryDirectory() as folder:
        lines = _generated(QUICK_SYMBOLS, QUICK_DAYS) if quick else _lines()
        single = _write(Path(folder) / "universe.csv.gz", lines)
        double = _write(Path(folder) / "double.csv.gz", [*lines, *_renamed(lines)])
        for _ in range(max(1, effort.rounds // 3)):
            once.append(_run(single, database_url))
            twice.append(_run(double, database_url))
    seconds = [each.seconds for each in once]
    symbols = once[0].runs // len(STRATEGIES.split(","))
    return [
        compare(
            f"{symbols} symbols × 4 strategies, database included",
            "s",
            seconds,
            Floor("allowed", [SECONDS_IN_ALL] * len(once)),
            Goal(1.0, less_is_better=True),
        ),
        compare(
            "one strategy over one symbol",
            "ms",
            [1e3 * each.seconds / each.runs for each in once],
            Floor("allowed", [1e3 * SECONDS_PER_RUN] * len(once)),
            None if quick else Goal(1.0, less_is_better=True),
        ),
        compare(
            "twice the symbols",
            "s",
            [each.seconds for each in twice],
            Floor("the symbols once", seconds),
            Goal(TWICE, less_is_better=True),
        ),
        compare(
            "memory with twice the symbols",
            "KiB",
            [each.memory for each in twice],
            Floor("with the symbols once", [each.memory for each in once]),
            Goal(GROWTH_ALLOWED, less_is_better=True),
        ),
    ]


def _lines() -> Lines:
    """Give the lines of the universe beside the checkout; where there is none, of one of the same size."""
    if not SHARED.is_file():
        return _generated(SYMBOLS, DAYS)
    with gzip.open(SHARED, "rt", newline="") as file:
        return [tuple(fields) for fields in csv.reader(file)][1:]


def _generated(symbols: int, days: int) -> Lines:
    """Make prices that wander, each symbol's in its own way and the same every time."""
    return [line for number in range(symbols) for line in _wandering(f"SYM{number:03}", number, days)]


def _wandering(symbol: str, number: int, days: int) -> Iterator[tuple[str, ...]]:
    close = 50.0 + number
    for day in range(days):
        opened = close
        close *= 1 + 0.02 * math.sin(day / (3 + number % 7)) + 0.01 * math.sin(day * 1.7 + number)
        high, low = 1.005 * max(opened, close), 0.995 * min(opened, close)
        values = (f"{value:.4f}" for value in (opened, high, low, close))
        yield symbol, (FIRST_DAY + timedelta(days=day)).isoformat(), *values, "1000000"


def _renamed(lines: Lines) -> Lines:
    return [(f"{symbol}.2", *rest) for symbol, *rest in lines]


def _write(path: Path, lines: Sequence[tuple[str, ...]]) -> Path:
    with gzip.open(path, "wt", newline="", compresslevel=1) as file:
        csv.writer(file).writerows([HEADER, *lines])
    return path


def _run(data: Path, database_url: str) -> Ran:
    """Run the engine, computing everything. Raises MeasurementError where not everything was."""
    words = ["engine", "run", "--strategies", STRATEGIES, "--data", str(data), "--fresh", "--json"]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603 — our own program
            [sys.executable, str(REPOSITORY / "main.py"), *words, "--workers", str(WORKERS)],
            env={"DATABASE_URL": database_url, "LOG_LEVEL": "ERROR"},
            cwd=folder,
            stdout=output,
        )
        memory = _Memory(process.pid)
        try:
            code = process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()
            memory.end()
        output.seek(0)
        told: dict[str, Any] = json.load(output) if code == 0 else {}
    if not told or told["failed"] or told["computed"] != told["runs"]:
        raise MeasurementError(f"the engine ended with {code}, and not everything was computed")
    return Ran(told["seconds"], told["runs"], memory.most)


class _Memory:
    """Watches what a process and its children hold; `most` is the most that each ever held, added up, KiB."""

    def __init__(self, process_id: int) -> None:
        self._id = process_id
        self._highest: dict[int, float] = {}
        self._stop = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def most(self) -> float:
        return sum(self._highest.values()) or 1.0

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            for process_id in [self._id, *_children(self._id)]:
                if (held := _peak(process_id)) is not None:
                    self._highest[process_id] = held


def _children(process_id: int) -> list[int]:
    try:
        text = Path(f"/proc/{process_id}/task/{process_id}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(each) for each in text.split()]


def _peak(process_id: int) -> float | None:
    try:
        text = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return float(fields["VmHWM"].split()[0]) if "VmHWM" in fields else None
