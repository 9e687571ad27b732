"""The runs of a sweep in processes of their own, each with the events in its memory."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from services.history.backtest import Event
from services.history.child_process import end_with_parent
from services.history.options import BacktestOptions
from services.history.sweep import Task, Trial, attempt
from services.own_strategies import load_own
from services.telemetry.logs import configure_logging
from strategies.base_strategy import BaseStrategy
from strategies.registry import StrategyRegistry

PIECES_PER_WORKER = 8


class Work(NamedTuple):
    """What every run of a sweep has in common."""

    strategy_class: type[BaseStrategy]
    events: Sequence[Event]
    options: BacktestOptions


_work: list[Work] = []


def try_here(
    work: Work, progress: Callable[[int], None] | None = None
) -> Callable[[Sequence[Task]], Iterator[Trial]]:
    """Return what makes the runs one after the other; `progress` is told of each."""

    def tried(tasks: Sequence[Task]) -> Iterator[Trial]:
        for task in tasks:
            yield attempt(*work, task)
            if progress is not None:
                progress(1)

    return tried


def try_in_processes(
    work: Work, folder: Path | None, workers: int, progress: Callable[[int], None] | None = None
) -> Callable[[Sequence[Task]], Iterator[Trial]]:
    """Return what makes the runs in so many processes; the trials are the same, in the same order.

    The strategy is found there by its name: a built-in one, or one of the folder.
    """
    given = (work.strategy_class.name, folder, work.events, work.options)

    def tried(tasks: Sequence[Task]) -> Iterator[Trial]:
        with ProcessPoolExecutor(workers, get_context("spawn"), _begin, given) as pool:
            size = max(1, len(tasks) // (workers * PIECES_PER_WORKER))
            for trial in pool.map(_attempt, tasks, chunksize=size):
                yield trial
                if progress is not None:
                    progress(1)

    return tried


def _begin(name: str, folder: Path | None, events: Sequence[Event], options: BacktestOptions) -> None:
    end_with_parent()
    configure_logging("CRITICAL", "console")  # why a run failed is in its trial
    registry = StrategyRegistry()
    if folder is not None:
        load_own(registry, folder)
    _work.append(Work(registry.get(name), events, options))


def _attempt(task: Task) -> Trial:
    return attempt(*_work[0], task)
