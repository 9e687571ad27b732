"""A call of the engine from its start to its ranking: what is there is used again, the rest is computed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event
from time import monotonic
from typing import Any

from msgspec import Struct

from services.history.engine.crew import Crew
from services.history.engine.plan import EngineOptions, StrategyPlan, run_plans
from services.history.engine.process import Task
from services.history.engine.result import RunResult
from services.history.engine.result_table import Ranked, ResultTable
from services.history.engine.universe import SymbolSlice, Universe

ROWS_AT_ONCE = 100
SIGNAL_BYTES_AT_ONCE = 8 * 1024 * 1024
SECONDS_AT_MOST = 2.0
SYMBOLS_AT_ONCE = 500


class Progress(Struct):
    """How far a batch is: runs in all, those that were there before, those done now, and failed ones."""

    runs: int = 0
    reused: int = 0
    done: int = 0
    failed: int = 0


class Summary(Struct, frozen=True):
    """What came of a batch; times in seconds."""

    status: str
    batch_id: str
    symbols: int
    progress: Progress
    ranking: list[Ranked]
    failures: list[tuple[str, str, str]]
    dirty: list[tuple[str, int, list[dict[str, Any]]]]
    notes: list[tuple[str, str, int]]
    seconds: float

    @property
    def seconds_per_run(self) -> float | None:
        """What one strategy over one symbol took of the whole, reading and writing included."""
        return self.seconds / self.progress.done if self.progress.done else None


@dataclass(kw_only=True)
class Engine:
    """Runs strategies over the symbols of a universe that are `traded`.

    `watch` is told how far it is, `stop` ends it between two results.
    """

    universe: Universe
    traded: Sequence[SymbolSlice]
    strategies: Sequence[StrategyPlan]
    options: EngineOptions
    table: ResultTable
    watch: Callable[[Progress], None]
    stop: Event
    progress: Progress = field(default_factory=Progress)

    def run(self, batch_id: str, crew: Crew, *, resume: bool, fresh: bool, began: float) -> Summary:
        """Compute what is not there, and return what came of all. `began` is in monotonic seconds.

        With `resume` runs that failed before count as there, with `fresh` nothing does.
        """
        self.progress.runs = len(self.traded) * len(self.strategies)
        self.table.begin()
        writer = _Writer(self.table)
        for result in crew.results(self._tasks(resume=resume, fresh=fresh), self.stop):
            if result is not None:
                writer.add(result)
                self.progress.done += 1
                self.progress.failed += result.status == "failed"
            writer.write_if_due()
            self.watch(self.progress)
        writer.write()
        finished = self.progress.reused + self.progress.done >= self.progress.runs
        status = "finished" if finished else "stopped"
        ranking = self.table.end(status)
        return Summary(
            status,
            batch_id,
            len(self.traded),
            self.progress,
            ranking,
            self.table.failures(),
            self.table.dirty(),
            self.table.notes(),
            monotonic() - began,
        )

    def _tasks(self, *, resume: bool, fresh: bool) -> Iterator[Task]:
        """Give what is to be done, symbol by symbol, looking some hundred of them up at a time."""
        for start in range(0, len(self.traded), SYMBOLS_AT_ONCE):
            tasks = [self._task(each) for each in self.traded[start : start + SYMBOLS_AT_ONCE]]
            ids = [run.run_id for task in tasks for run in task.runs]
            there = set() if fresh else self.table.reuse(ids, failed_too=resume)
            self.progress.reused += len(there)
            for task in tasks:
                left = tuple(run for run in task.runs if run.run_id not in there)
                if left:
                    yield Task(task.slice, left)

    def _task(self, each: SymbolSlice) -> Task:
        return Task(each, tuple(run_plans(self.strategies, each, self.universe.data_hash, self.options)))


class _Writer:
    """Holds results until they are worth a transaction: enough of them, or old enough."""

    def __init__(self, table: ResultTable) -> None:
        self._table = table
        self._waiting: list[RunResult] = []
        self._size = 0
        self._since = monotonic()

    def add(self, result: RunResult) -> None:
        if not self._waiting:
            self._since = monotonic()
        self._waiting.append(result)
        self._size += len(result.signal_lines)

    def write_if_due(self) -> None:
        enough = len(self._waiting) >= ROWS_AT_ONCE or self._size >= SIGNAL_BYTES_AT_ONCE
        if self._waiting and (enough or monotonic() - self._since > SECONDS_AT_MOST):
            self.write()

    def write(self) -> None:
        if self._waiting:
            self._table.save(self._waiting)
        self._waiting, self._size = [], 0
