"""The engine as a command or a schedule calls it: from names and a file to a summary that people are told."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

from msgspec import Struct

from models.errors import ConfigError, StrategyRejected, StrategyWorkerError
from services.db_client import Database
from services.history.engine.batch import Engine, Progress, Summary
from services.history.engine.crew import Crew
from services.history.engine.notifications import Notifications
from services.history.engine.parquet_files import check_parquet, write_parquet
from services.history.engine.plan import EngineOptions, StrategyPlan, batch_id, plan_strategy
from services.history.engine.process import Setting
from services.history.engine.result_table import Batch, ResultTable
from services.history.engine.telling import lines
from services.history.engine.universe import Universe
from services.history.repairs import check_rules
from services.session import explain
from strategies.registry import StrategyRegistry


class EngineRequest(Struct, frozen=True, kw_only=True):
    """What somebody asks of the engine; `params` are texts like `momentum.lookback=60`.

    Without `symbols` all of the file are traded; with them the others can still be watched.
    """

    strategies: str
    data: Path
    symbols: Sequence[str] = ()
    params: Sequence[str] = ()
    options: EngineOptions = EngineOptions()
    workers: int = 1
    timeframe: str | None = None
    parquet: Path | None = None
    resume: bool = False
    fresh: bool = False


@dataclass(frozen=True, kw_only=True)
class EngineService:
    """Runs what is asked for and tells of it.

    `watch` is told how far it is; `stop` ends it between two results. `strategies_path` is where the
    registry's own classes come from: each process loads them itself.
    """

    registry: StrategyRegistry
    strategies_path: Path | None
    database: Database
    notifications: Notifications
    watch: Callable[[Progress], None]
    stop: Event

    def run(self, request: EngineRequest) -> Summary:
        """Run everything, and tell of its end, also where that was no good one. Raises as it went wrong."""
        try:
            summary = self._run(request)
        except Exception as error:  # whatever it is, somebody should hear of it who reads no log
            known = isinstance(error, StrategyWorkerError | OSError)
            self.notifications.send("Engine failed", str(error) if known else explain(error))
            raise
        self.notifications.send(f"Engine {summary.status}", "\n".join(lines(summary)))
        return summary

    def _run(self, request: EngineRequest) -> Summary:
        began = monotonic()
        strategies, options = check_request(request, self.registry), request.options
        with Universe.read(request.data, timeframe=request.timeframe) as universe:
            traded = universe.chosen(request.symbols)
            batch = Batch(
                batch_id(strategies, universe.data_hash, options, request.symbols),
                tuple(strategies),
                len(traded),
                str(request.data).encode(errors="replace").decode(),
                universe.data_hash,
                options,
            )
            table = ResultTable(self.database, batch)
            engine = Engine(
                universe=universe,
                traded=traded,
                strategies=strategies,
                options=options,
                table=table,
                watch=self.watch,
                stop=self.stop,
            )
            folder = None if self.strategies_path is None else str(self.strategies_path)
            others = universe.slices if any(each.watches for each in strategies) else {}
            crew = Crew(Setting(str(universe.path), options, folder, others), request.workers)
            summary = engine.run(
                batch.batch_id, crew, resume=request.resume, fresh=request.fresh, began=began
            )
        if request.parquet is not None:
            write_parquet(self.database, batch.batch_id, request.parquet)
        return summary


def check_request(request: EngineRequest, registry: StrategyRegistry) -> list[StrategyPlan]:
    """Return the strategies of a request. Raises ConfigError for what can be known to be wrong beforehand."""
    check_rules(request.options.repairs)
    if request.parquet is not None:
        check_parquet()
    if not request.data.is_file():
        raise ConfigError(f"--data: {request.data} is no file")
    return _plans(request, registry)


def _plans(request: EngineRequest, registry: StrategyRegistry) -> list[StrategyPlan]:
    names = [name.strip() for name in request.strategies.split(",") if name.strip()]
    if not names or len(set(names)) < len(names):
        raise ConfigError("--strategies must be names with commas between, each of them once")
    values: dict[str, dict[str, Any]] = {name: {} for name in names}
    for text in request.params:
        owner, parameter, value = _parameter(text)
        if owner not in values:
            raise ConfigError(f"--param {text}: {owner} is not among the strategies that are run")
        values[owner][parameter] = value
    try:
        return [
            plan_strategy(registry.get(name), values[name], request.options.call_seconds) for name in names
        ]
    except StrategyRejected as error:
        raise ConfigError(str(error)) from None


def _parameter(text: str) -> tuple[str, str, Any]:
    name, equals, value = text.partition("=")
    owner, dot, parameter = name.rpartition(".")
    if not equals or not dot:
        raise ConfigError(f"--param {text}: write it like momentum.lookback=60")
    try:
        return owner, parameter, json.loads(value)
    except ValueError:
        return owner, parameter, value
