"""A process of the engine: it runs strategies over one symbol after the other, as its parent says.

What goes through the pipe is MessagePack, and no bars: those it reads itself, each symbol's once.
"""

import logging
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

import msgspec
import structlog
from msgspec import Struct

from models.errors import StrategyTimedOut
from services.history.child_process import end_with_parent
from services.history.engine.library import Library
from services.history.engine.one_run import run_one
from services.history.engine.plan import EngineOptions, RunPlan
from services.history.engine.result import RunResult, SymbolReport
from services.history.engine.universe import SymbolSlice
from services.own_strategies import load_own
from services.session import explain
from strategies.registry import StrategyRegistry

QUIET = structlog.make_filtering_bound_logger(logging.CRITICAL)


class Setting(Struct, frozen=True):
    """What a process needs to know once: where rows are, by which rules, and which strategies there are.

    `others` are all symbols, where a strategy watches some.
    """

    rows: str
    options: EngineOptions
    strategies_path: str | None
    others: dict[str, SymbolSlice] = {}


class Task(Struct, frozen=True):
    """One symbol, and what to run over it."""

    slice: SymbolSlice
    runs: tuple[RunPlan, ...]


decode_task = msgspec.msgpack.Decoder(Task).decode
decode_result = msgspec.msgpack.Decoder(RunResult).decode


def work(pipe: Connection, setting: Setting) -> None:
    """Do every task that comes through the pipe, until it is closed or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()
    structlog.configure(wrapper_class=QUIET)  # what strategies have to say a thousand times
    registry = StrategyRegistry()
    if setting.strategies_path is not None:
        load_own(registry, Path(setting.strategies_path))
    library = Library(Path(setting.rows), setting.options.repairs, setting.others)
    encode = msgspec.msgpack.Encoder().encode
    try:
        while True:
            for result in perform(decode_task(pipe.recv_bytes()), setting.options, library, registry):
                pipe.send_bytes(encode(result))
    except (EOFError, OSError):
        return


def perform(
    task: Task, options: EngineOptions, library: Library, registry: StrategyRegistry
) -> Iterator[RunResult]:
    """Give the result of each run of a task as soon as it is there; what fails has its reason."""
    try:
        shelf = library.read(task.slice)
    except Exception as error:  # noqa: BLE001 — one symbol's data must not end the process
        report = SymbolReport(symbol=task.slice.symbol)
        for each in task.runs:
            yield _failed(each, report, explain(error))
        return
    for each in task.runs:
        if not shelf.bars:
            yield _failed(each, shelf.report, "none of its rows is a bar")
            continue
        begin = perf_counter()
        try:
            yield run_one(registry.get(each.strategy.name), each, shelf, library, options)
        except BaseException as error:  # noqa: BLE001 — an author's code: even SystemExit stays in it
            hung = isinstance(error, StrategyTimedOut)
            yield _failed(each, shelf.report, explain(error), perf_counter() - begin, hung=hung)


def _failed(
    each: RunPlan, report: SymbolReport, reason: str, seconds: float = 0.0, *, hung: bool = False
) -> RunResult:
    return RunResult(
        run_id=each.run_id,
        data_hash=each.data_hash,
        strategy=each.strategy.name,
        report=report,
        status="failed",
        reason=reason,
        hung=hung,
        seconds=seconds,
    )
