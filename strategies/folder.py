"""Strategies in files of an operator's own folder (STRATEGIES_PATH): trusted, but not always right."""

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TypeGuard

from models.errors import ConfigError, StrategyError, StrategyRejected
from strategies.base_strategy import BaseStrategy
from strategies.rule_file import read_rule_file
from strategies.rule_strategy import strategy_of

RULE_SUFFIXES = {".yaml", ".yml"}
SUFFIXES = {".py", *RULE_SUFFIXES}


@dataclass(frozen=True)
class LoadFailure:
    """A file, or a strategy in it, that could not be loaded; `reason` begins with the line, where known."""

    file: str
    reason: str


Import = Callable[[], ModuleType]
"""Runs a file as a module."""


def at_once(load: Import) -> ModuleType:
    """Import a file, however long it takes."""
    return load()


def strategies_in(
    folder: Path, importing: Callable[[Import], ModuleType] = at_once
) -> Iterator[tuple[Path, LoadFailure | list[type[BaseStrategy]]]]:
    """Load each `*.py` and `*.yaml` of a folder, in the order of names; yield its strategies, or why not.

    A file of rules is one strategy. The folder goes to the end of `sys.path`, so that files can import each
    other by plain names; what is installed wins over them. `importing` has one imported, by calling what it
    is given, and may end that with an error. Raises ConfigError when the folder cannot be read.
    """
    folder = folder.absolute()
    try:
        files = sorted(
            path for path in folder.iterdir() if path.suffix in SUFFIXES and path.name[0] not in "_."
        )
    except OSError as error:
        raise ConfigError(f"STRATEGIES_PATH: {folder} cannot be read ({error.strerror})") from None
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    for file in files:
        if not file.is_dir():
            yield file, _load(file, importing) if file.suffix == ".py" else _load_rules(file)


def line_of(cls: type) -> str:
    """Return `line 7: `, where a class begins, or nothing where that cannot be found out."""
    try:
        return f"line {inspect.getsourcelines(cls)[1]}: "
    except (OSError, TypeError):
        return ""


def _load_rules(file: Path) -> LoadFailure | list[type[BaseStrategy]]:
    try:
        return [strategy_of(read_rule_file(file))]
    except StrategyRejected as error:
        return LoadFailure(str(file), str(error))


def _load(file: Path, importing: Callable[[Import], ModuleType]) -> LoadFailure | list[type[BaseStrategy]]:
    try:
        module = importing(partial(_import, file))
    except (Exception, SystemExit) as error:  # noqa: BLE001 — the boundary to an author's code: even sys.exit() stays in it
        return LoadFailure(str(file), _explain(error, file))
    return list(dict.fromkeys(cls for cls in vars(module).values() if _is_defined_there(cls, module)))


def _import(file: Path) -> ModuleType:
    """Run a file as a module of a name that no other file and no installed package has."""
    name = f"_own_strategies_{sha256(str(file).encode()).hexdigest()[:12]}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_defined_there(cls: object, module: ModuleType) -> TypeGuard[type[BaseStrategy]]:
    return (
        isinstance(cls, type)
        and issubclass(cls, BaseStrategy)
        and cls.__module__ == module.__name__
        and not cls.__name__.startswith("_")
    )


def _explain(error: BaseException, file: Path) -> str:
    """Say in one line what went wrong, and on which line of the file."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)
    ]
    line = lines[-1] if lines else None
    text = str(error)
    if isinstance(error, SyntaxError) and error.filename == str(file):
        line, text = error.lineno, error.msg
    what = text if isinstance(error, StrategyError) else f"{type(error).__name__}: {text}".removesuffix(": ")
    return " ".join(what.split()) if line is None else f"line {line}: {' '.join(what.split())}"
