"""Makes a strategy of a stranger's source, in one of its three forms, or says on which line it fails."""

import ast
import linecache
import sys
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from models.errors import StrategyError
from services.sandbox.host.forms import handlers_strategy, script_strategy, surroundings
from services.sandbox.host.place import FILE, place_of
from services.sandbox.host.reading import NotLoadable, WhyAbsent, check_source, form_of
from services.sandbox.host.seclusion import why_absent
from services.sandbox.protocol import Form, Load
from strategies.base_strategy import BaseStrategy
from strategies.registry import check_strategy
from strategies.watching import watched_by

MODULE = "strategy"
MOST_WARMUP_BARS = 10_000_000


class LoadedStrategy(NamedTuple):
    """A strategy that was made, which form its source has, and what it watches beside its own symbol."""

    strategy: BaseStrategy
    form: Form
    watched_symbols: tuple[str, ...]


def load_strategy(load: Load) -> LoadedStrategy:
    """Compile the source, run it where its form asks for that, and make the instance.

    Raises NotLoadable for everything that goes wrong in it.
    """
    linecache.cache[FILE] = (len(load.source), None, load.source.splitlines(keepends=True), FILE)
    form, code = compile_source(load.source, why_absent)
    try:
        strategy = _make(form, code, load)
        _check_warmup_bars(strategy)
        watched = watched_by(strategy)
    except NotLoadable:
        raise
    except BaseException as error:  # noqa: BLE001 — a stranger's code: even SystemExit stays in it
        raise _explained(error) from None
    return LoadedStrategy(strategy, form, watched)


def compile_source(source: str, why_absent: WhyAbsent) -> tuple[Form, CodeType]:
    """Compile a source and look for what in it can never work; nothing of it is run.

    Raises NotLoadable.
    """
    try:
        tree = ast.parse(source, FILE)
        code = compile(tree, FILE, "exec")
        form = form_of(tree)
        check_source(tree, form, why_absent)
    except NotLoadable:
        raise
    except Exception as error:  # noqa: BLE001 — besides a SyntaxError: an interruption, memory, depth
        raise _explained(error) from None
    return form, code


def _make(form: Form, code: CodeType, load: Load) -> BaseStrategy:
    module = ModuleType(MODULE)
    sys.modules[MODULE] = module  # dataclasses and the like look there
    namespace: dict[str, Any] = vars(module)
    namespace.update(surroundings(load))
    if form == "script":
        return script_strategy(code, namespace, load)
    exec(code, namespace)  # noqa: S102 — what this process is for
    if form == "handlers":
        return handlers_strategy(namespace, load)
    chosen = _the_one_class(namespace)
    check_strategy(chosen)
    return chosen.build(load.strategy_id, load.symbol, load.session_id, load.parameters)


def _the_one_class(namespace: dict[str, Any]) -> type[BaseStrategy]:
    defined = {
        cls
        for cls in namespace.values()
        if isinstance(cls, type)
        and issubclass(cls, BaseStrategy)
        and cls.__module__ == MODULE
        and not cls.__name__.startswith("_")
    }
    last = [
        cls for cls in defined if not any(other is not cls and issubclass(other, cls) for other in defined)
    ]
    if len(last) != 1:
        names = ", ".join(sorted(cls.__name__ for cls in last)) or "none"
        raise NotLoadable(
            f"one strategy class is needed, and there are: {names}; begin the names of others with _"
        )
    return last[0]


def _check_warmup_bars(strategy: BaseStrategy) -> None:
    asked: object = strategy.warmup_bars
    if type(asked) is not int or not 0 <= asked <= MOST_WARMUP_BARS:
        raise NotLoadable(f"warmup_bars is {asked!r}; it must be a whole number of bars, 0 or more")


def _explained(error: BaseException) -> NotLoadable:
    """Say in one line what went wrong, and where in the source."""
    (line, column), text = place_of(error), ""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 — a stranger's code: even the text of an error is
        text = "(its text cannot be had)"
    if isinstance(error, SyntaxError) and error.filename == FILE:
        line, column, text = error.lineno, error.offset or None, error.msg
    said = text if isinstance(error, StrategyError) else f"{type(error).__name__}: {text}".removesuffix(": ")
    return NotLoadable(" ".join(said.split()), line, column)
