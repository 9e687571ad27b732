"""What an engine run is to do, and the ids that follow from it."""

import hashlib
import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID, uuid5

from msgspec import Struct, to_builtins

from services.history.engine.universe import SymbolSlice
from services.history.options import FillRule
from strategies.base_strategy import BaseStrategy

NAMESPACE = UUID("5b0f9a52-3f1c-5f06-9d51-7f1f0d8e4c11")
ROOT = Path(__file__).resolve().parents[3]
# What turns signals into fills and fills into figures: a change of it makes every result another one.
RULES_OF_RUNS = ("models/position.py", "services/session.py", "services/history/*.py")


class EngineOptions(Struct, frozen=True, kw_only=True):
    """The rules that all runs of a batch share. `seconds` is the most that one of them may take."""

    cash: float = 100_000.0
    fee_bps: float = 0.0
    slippage_bps: float = 0.0
    fill: FillRule = "next-open"
    repairs: tuple[str, ...] = ()
    seconds: float = 60.0

    def describe(self) -> dict[str, Any]:
        """Return what a result depends on, as JSON: the time allowed is not part of it."""
        described: dict[str, Any] = to_builtins(self)
        described.pop("seconds")
        return described


class StrategyPlan(Struct, frozen=True):
    """One strategy of a batch: a class by its name, its parameters, and the hash of its code."""

    name: str
    parameters: dict[str, Any]
    code_hash: str


class RunPlan(Struct, frozen=True):
    """One strategy over one symbol."""

    run_id: str
    strategy: StrategyPlan


def run_plans(
    strategies: Sequence[StrategyPlan], each: SymbolSlice, options: EngineOptions
) -> Iterator[RunPlan]:
    """Give what is to be run over a symbol, each under the id that the same run always has."""
    for strategy in strategies:
        yield RunPlan(
            _derive("run", each.symbol, each.timeframe, each.data_hash, strategy, options), strategy
        )


def batch_id(strategies: Sequence[StrategyPlan], data_hash: str, options: EngineOptions) -> str:
    """Return the id of a batch: the same strategies over the same data by the same rules are one."""
    return _derive("batch", data_hash, *strategies, options)


def _derive(*parts: str | StrategyPlan | EngineOptions) -> str:
    told = [part.describe() if isinstance(part, EngineOptions) else to_builtins(part) for part in parts]
    return str(uuid5(NAMESPACE, json.dumps(told, sort_keys=True)))


def plan_strategy(cls: type[BaseStrategy], parameters: Mapping[str, object]) -> StrategyPlan:
    """Return the plan of a strategy. Raises StrategyRejected for parameters that do not fit."""
    return StrategyPlan(cls.name, dict(cls.parameters.bind(parameters)), code_hash(cls))


def code_hash(cls: type[BaseStrategy]) -> str:
    """Return the SHA-256 of the code that a strategy consists of, and of what runs and measures it.

    That is the files of its class and of those it derives from, and what these import of the same folders.
    """
    files = {file for pattern in RULES_OF_RUNS for file in ROOT.glob(pattern)}
    files.update(_files_of(cls))
    digest = hashlib.sha256()
    for content in sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files):
        digest.update(content.encode())
    return digest.hexdigest()


def _files_of(cls: type[BaseStrategy]) -> set[Path]:
    folders = {ROOT / "strategies", ROOT / "models"}
    waiting: list[ModuleType] = []
    for each in cls.__mro__:
        module = inspect.getmodule(each)
        if module is not None and (file := _file_of(module)) is not None:
            waiting.append(module)
            if issubclass(each, BaseStrategy):
                folders.add(file.parent)
    found: dict[Path, ModuleType] = {}
    while waiting:
        module = waiting.pop()
        file = _file_of(module)
        if file is None or file in found or file.parent not in folders:
            continue
        found[file] = module
        waiting.extend(_imports_of(module))
    return set(found)


def _imports_of(module: ModuleType) -> Iterator[ModuleType]:
    for value in vars(module).values():
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str) and (imported := sys.modules.get(name)) is not None:
            yield imported


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()
