"""What an engine run is to do, and the ids that follow from it."""

import ast
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from msgspec import Struct, to_builtins

from models.errors import StrategyError
from services.history.casting import watched_symbols
from services.history.engine.universe import SymbolSlice
from services.history.options import FillRule
from strategies.base_strategy import BaseStrategy

NAMESPACE = UUID("5b0f9a52-3f1c-5f06-9d51-7f1f0d8e4c11")
ROOT = Path(__file__).resolve().parents[3]
# What turns signals into fills and fills into figures: a change of it makes every result another one.
RULES_OF_RUNS = ("models/position.py", "services/session.py", "services/history/*.py")
TIMES_ALLOWED = ("seconds", "call_seconds")


class EngineOptions(Struct, frozen=True, kw_only=True):
    """The rules that all runs of a batch share.

    `seconds` is the most that one of them may take, `call_seconds` that one call of a strategy may.
    """

    cash: float = 100_000.0
    fee_bps: float = 0.0
    slippage_bps: float = 0.0
    fill: FillRule = "next-open"
    repairs: tuple[str, ...] = ()
    seconds: float = 60.0
    call_seconds: float | None = None

    def describe(self) -> dict[str, Any]:
        """Return what a result depends on, as JSON: the time allowed is not part of it."""
        described: dict[str, Any] = to_builtins(self)
        return {name: value for name, value in described.items() if name not in TIMES_ALLOWED}


class StrategyPlan(Struct, frozen=True):
    """One strategy of a batch: a class by its name, its parameters, and the hash of its code.

    What watches further symbols depends on the data of them all.
    """

    name: str
    parameters: dict[str, Any]
    code_hash: str
    watches: bool = False


class RunPlan(Struct, frozen=True):
    """One strategy over one symbol. `data_hash` is that of all bars that it may see."""

    run_id: str
    strategy: StrategyPlan
    data_hash: str


def run_plans(
    strategies: Sequence[StrategyPlan], each: SymbolSlice, universe_hash: str, options: EngineOptions
) -> Iterator[RunPlan]:
    """Give what is to be run over a symbol, each under the id that the same run always has."""
    for strategy in strategies:
        data_hash = universe_hash if strategy.watches else each.data_hash
        run_id = _derive("run", each.symbol, each.timeframe, data_hash, strategy, options)
        yield RunPlan(run_id, strategy, data_hash)


def batch_id(
    strategies: Sequence[StrategyPlan], data_hash: str, options: EngineOptions, symbols: Sequence[str] = ()
) -> str:
    """Return the id of a batch: the same strategies over the same data by the same rules are one."""
    return _derive("batch", data_hash, *strategies, options, *sorted(set(symbols)))


def _derive(*parts: str | StrategyPlan | EngineOptions) -> str:
    told = [part.describe() if isinstance(part, EngineOptions) else to_builtins(part) for part in parts]
    return str(uuid5(NAMESPACE, json.dumps(told, sort_keys=True)))


def plan_strategy(
    cls: type[BaseStrategy], parameters: Mapping[str, object], call_seconds: float | None = None
) -> StrategyPlan:
    """Return the plan of a strategy. Raises StrategyRejected for parameters that do not fit."""
    values = dict(cls.parameters.bind(parameters))
    return StrategyPlan(cls.name, values, code_hash(cls), _watches(cls, values, call_seconds))


def _watches(cls: type[BaseStrategy], values: Mapping[str, Any], call_seconds: float | None) -> bool:
    """Tell whether it watches further symbols, by an instance of no real one; where it has none, it may."""
    try:
        return bool(watched_symbols(cls, ["ANY"], values, call_seconds))
    except StrategyError:
        return True  # the run of each symbol tells what is wrong


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
    waiting: list[Path] = []
    for each in cls.__mro__:
        file = _file_of(each.__module__)
        if file is not None and issubclass(each, BaseStrategy):
            folders.add(file.parent)
            waiting.append(file)
    found: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file not in found and file.parent in folders:
            found.add(file)
            waiting.extend(_imports_of(file))
    return found


def _imports_of(file: Path) -> Iterator[Path]:
    """Give the files of the modules that a file imports, as far as they are loaded."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if (imported := _file_of(name)) is not None:
                yield imported


def _file_of(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return None if file is None or not file.endswith(".py") else Path(file).resolve()
