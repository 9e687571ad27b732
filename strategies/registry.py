"""Which strategies there are: the built-in ones, and an operator's own."""

import functools
import inspect
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

from models.errors import StrategyRejected
from strategies.base_strategy import BaseStrategy
from strategies.bollinger_breakout import BollingerBreakout
from strategies.buy_and_hold import BuyAndHold
from strategies.folder import Import, LoadFailure, at_once, line_of, strategies_in
from strategies.hooks import check_hooks
from strategies.macd_trend import MacdTrend
from strategies.mean_reversion import MeanReversion
from strategies.mock_strategy import MockStrategy
from strategies.momentum import Momentum
from strategies.parameters import Parameters
from strategies.rsi_reversion import RsiReversion
from strategies.rule_file import NAME_OF_RULES, read_rule_file
from strategies.rule_strategy import RuleStrategy, strategy_of
from strategies.sector_rotation import SectorRotation
from strategies.sma_cross import SmaCross
from strategies.trend_following import TrendFollowing

BUILT_IN: tuple[type[BaseStrategy], ...] = (
    BollingerBreakout,
    BuyAndHold,
    MacdTrend,
    MeanReversion,
    MockStrategy,
    Momentum,
    RsiReversion,
    SectorRotation,
    SmaCross,
    TrendFollowing,
)
RULES = Path(__file__).parent / "rules"
NAME = re.compile(r"[a-z0-9_.-]{1,64}")


class StrategyRegistry:
    """Strategy classes by name.

    >>> StrategyRegistry().get("sma_cross").__name__
    'SmaCross'
    """

    def __init__(self, classes: Iterable[type[BaseStrategy]] | None = None) -> None:
        self._classes: dict[str, type[BaseStrategy]] = {}
        for cls in (*BUILT_IN, *shipped_rules()) if classes is None else classes:
            self.register(cls)

    def register(self, cls: type[BaseStrategy]) -> None:
        """Add a class under its `name`. Raises StrategyRejected when it cannot run or the name is taken."""
        check_strategy(cls)
        taken = self._classes.get(cls.name)
        if taken is not None and taken is not cls:
            raise StrategyRejected(
                f"the name {cls.name!r} belongs to {taken.__name__} already; "
                f"give {cls.__name__} another `name`"
            )
        self._classes[cls.name] = cls

    def get(self, name: str) -> type[BaseStrategy]:
        """Return the class of this name. Raises StrategyRejected, with the nearest name, for others."""
        try:
            return self._classes[name]
        except KeyError:
            raise StrategyRejected(f"no strategy {name!r}{self._meant(name)}") from None

    def _meant(self, name: str) -> str:
        lowered = {each.lower(): each for each in self._classes}
        near = get_close_matches(name.lower(), lowered, n=1)
        return f"; did you mean {lowered[near[0]]!r}?" if near else f"; there are: {', '.join(self.names())}"

    def names(self) -> tuple[str, ...]:
        """Return every name in order, those of classes before those of rules."""
        return tuple(sorted(self._classes, key=lambda name: (name != name.lower(), name)))

    def load_folder(
        self, folder: Path, importing: Callable[[Import], ModuleType] = at_once
    ) -> list[LoadFailure]:
        """Add the strategies of every `*.py` and `*.yaml` in a folder; return what could not, and why.

        Files whose name starts with `_`, and classes whose name does, are left out. A broken file or class
        does not stop the others. `importing` has each imported. Raises ConfigError when the folder itself
        cannot be read.
        """
        failures: list[LoadFailure] = []
        for file, found in strategies_in(folder, importing):
            if isinstance(found, LoadFailure):
                failures.append(found)
                continue
            for cls in found:
                try:
                    self.register(cls)
                except StrategyRejected as error:
                    failures.append(LoadFailure(str(file), f"{line_of(cls)}{error}"))
        return failures


@functools.cache
def shipped_rules() -> tuple[type[RuleStrategy], ...]:
    """Return the strategies that are files in `strategies/rules`."""
    return tuple(strategy_of(read_rule_file(file)) for file in sorted(RULES.glob("*.yaml")))


def check_strategy(cls: object) -> None:
    """Raise StrategyRejected when a class cannot be started by its name."""
    if not (isinstance(cls, type) and issubclass(cls, BaseStrategy)):
        raise StrategyRejected(f"{cls!r} is not a subclass of BaseStrategy")
    if missing := sorted(cls.__abstractmethods__):
        raise StrategyRejected(f"{cls.__name__} must define {' and '.join(missing)}")
    declared: object = cls.parameters
    if not isinstance(declared, Parameters):
        raise StrategyRejected(
            f"{cls.__name__}.parameters is {declared!r}; declare it as Parameters(period=Parameter(14))"
        )
    name: object = cls.name
    form, letters = (NAME_OF_RULES, "A-Z a-z") if issubclass(cls, RuleStrategy) else (NAME, "a-z")
    if not isinstance(name, str) or not form.fullmatch(name) or _reads_as_uuid(name):
        raise StrategyRejected(
            f"{cls.__name__} has the name {name!r}; a name is 1 to 64 of {letters} 0-9 _ . - and no UUID, "
            "which would mean a row of the catalogue"
        )
    asked: object = cls.deadline_ms
    if asked is not None and (type(asked) is not int or asked <= 0):
        raise StrategyRejected(
            f"{cls.__name__}.deadline_ms is {asked!r}; it must be whole milliseconds above 0"
        )
    if inspect.getattr_static(cls, "position") is not inspect.getattr_static(BaseStrategy, "position"):
        raise StrategyRejected(
            f"{cls.__name__}.position hides the position that the worker keeps; call it something else"
        )
    check_hooks(cls)
    _check_warmup_bars(cls)
    try:
        inspect.signature(cls).bind("strategy id", "SYMBOL", None)
    except TypeError as error:
        raise StrategyRejected(
            f"{cls.__name__}.__init__ must take (strategy_id, symbol, session_id=None): {error}"
        ) from None


def _check_warmup_bars(cls: type[BaseStrategy]) -> None:
    asked: object = inspect.getattr_static(cls, "warmup_bars")
    if isinstance(asked, functools.cached_property) or inspect.isdatadescriptor(asked):
        return  # a property; what it returns is checked when a session starts
    if type(asked) is not int or asked < 0:
        raise StrategyRejected(
            f"{cls.__name__}.warmup_bars is {asked!r}; it must be a whole number of bars, 0 or more, "
            "or a property that returns one"
        )


def describe(cls: type[BaseStrategy]) -> dict[str, Any]:
    """Return what a person chooses a strategy by, as JSON; `warmup_bars` is that of the default parameters.

    `rules` is what a file of rules says, None for a class. Raises whatever the class raises when it is made.
    """
    return {
        "name": cls.name,
        "doc": inspect.cleandoc(cls.__doc__ or ""),
        "parameters": {
            name: {
                "type": parameter.kind.__name__,
                "default": parameter.default,
                "minimum": parameter.minimum,
                "maximum": parameter.maximum,
                "choices": None if parameter.choices is None else list(parameter.choices),
                "description": parameter.description,
            }
            for name, parameter in cls.parameters.declared.items()
        },
        "rules": cls.rules.parts() if issubclass(cls, RuleStrategy) else None,
        "warmup_bars": cls.build("describe", "DESCRIBE").warmup_bars,
    }


def _reads_as_uuid(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True
