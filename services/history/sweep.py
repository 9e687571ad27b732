"""A strategy tried under many parameters: every combination, or some of them by chance."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Self

from msgspec import Struct

from models.errors import ConfigError, StrategyError
from services.history.backtest import Event, run
from services.history.options import BacktestOptions
from services.history.statistics import Statistics
from strategies.base_strategy import BaseStrategy
from strategies.parameters import suggest

MOST_TRIALS = 100_000
OBJECTIVES = (
    "sharpe_ratio",
    "sortino_ratio",
    "total_return",
    "cagr",
    "max_drawdown",
    "win_rate",
    "profit_factor",
)
"""What trials can be ranked by; of each, more is better."""


class Axis(Struct, frozen=True):
    """A parameter and the values that it is tried with."""

    name: str
    values: tuple[Any, ...]

    @classmethod
    def read(cls, text: str, value: Callable[[str, str], Any]) -> Self:
        """Read `fast=5:50:5`, from and to included, or `fast=5,10,20`; `value` reads one of a name.

        Raises ConfigError for anything else.
        """
        name, _, values = text.partition("=")
        name = name.strip()
        parts = values.split(":")
        if not name or not values:
            raise ConfigError(f"{text!r} is no sweep; write fast=5:50:5 or fast=5,10,20")
        if len(parts) == 1:
            return cls(name, tuple(dict.fromkeys(value(name, each.strip()) for each in values.split(","))))
        try:
            first, last, step = (float(part) for part in (*parts, "1")[:3])
        except ValueError:
            raise ConfigError(f"{text!r} is no sweep; from, to and step must be numbers") from None
        if len(parts) > 3 or not step > 0 or not first <= last < float("inf"):  # noqa: PLR2004
            raise ConfigError(f"{text!r} is no sweep; write from:to:step with a step above 0")
        count = int((last - first) / step + 1e-9) + 1
        if count > MOST_TRIALS:
            raise ConfigError(f"{text!r} has {count} values; at most {MOST_TRIALS}")
        return cls(name, tuple(_plain(first + step * number) for number in range(count)))


def _plain(value: float) -> float:
    """Return a value without what float arithmetic left over, whole where it is."""
    value = round(value, 12)
    return int(value) if value == int(value) else value


class Task(Struct, frozen=True):
    """One run to make: these parameters, the events until a place, and the first moment that counts."""

    parameters: Mapping[str, Any]
    until: int | None = None
    start: datetime | None = None


class Trial(Struct, frozen=True):
    """What came of a task: its statistics, or why there are none."""

    parameters: Mapping[str, Any]
    statistics: Statistics | None = None
    reason: str | None = None

    def score(self, objective: str) -> float | None:
        """Return the number that it is ranked by; None where it is undefined."""
        return None if self.statistics is None else getattr(self.statistics, objective)


def combinations(axes: Sequence[Axis], some: int | None = None, seed: int = 0) -> list[dict[str, Any]]:
    """Return every combination of the values, or `some` of them, each once, that chance picks by a seed.

    Raises ConfigError for more than 100,000 of them.
    """
    names = [axis.name for axis in axes]
    if len(set(names)) < len(names):
        raise ConfigError("a parameter is swept twice")
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if (some is None or some >= count) and count <= MOST_TRIALS:
        chosen: Iterable[int] = range(count)
    elif some is not None and some <= MOST_TRIALS:
        chosen = sorted(random.Random(seed).sample(range(count), some))  # noqa: S311 — no secret
    else:
        raise ConfigError(f"that is {count} combinations; at most {MOST_TRIALS}: take some with --random")
    return [_combination(axes, number) for number in chosen]


def _combination(axes: Sequence[Axis], number: int) -> dict[str, Any]:
    """Return the combination of this number, the last parameter changing first."""
    values: dict[str, Any] = {}
    for axis in reversed(axes):
        number, place = divmod(number, len(axis.values))
        values[axis.name] = axis.values[place]
    return {axis.name: values[axis.name] for axis in axes}


def attempt(
    strategy_class: type[BaseStrategy], events: Sequence[Event], options: BacktestOptions, task: Task
) -> Trial:
    """Make one run; a strategy that refuses its parameters, or cannot start, is a trial with that reason."""
    told = replace(
        options,
        parameters={**options.parameters, **task.parameters},
        start=task.start or options.start,
    )
    try:
        played = run(strategy_class, events if task.until is None else events[: task.until], told)
    except StrategyError as error:
        return Trial(task.parameters, reason=str(error))
    if played.ended:
        return Trial(task.parameters, reason=played.ended[0].reason)
    return Trial(task.parameters, played.statistics)


def best_of(trials: Iterable[Trial], objective: str) -> Trial | None:
    """Return the trial with the highest score, the first of equals; None where none has one."""
    best, highest = None, None
    for trial in trials:
        score = trial.score(objective)
        if score is not None and (highest is None or score > highest):
            best, highest = trial, score
    return best


def check_objective(objective: str) -> None:
    """Raise ConfigError for what trials cannot be ranked by."""
    if objective not in OBJECTIVES:
        raise ConfigError(f"no objective {objective!r}{suggest(objective, dict.fromkeys(OBJECTIVES))}")


def heat(
    trials: Iterable[Trial], axes: Sequence[Axis], objective: str
) -> tuple[Axis, Axis | None, list[list[float | None]]]:
    """Return the best score at each pair of values of the first two parameters: rows of the second one.

    Further parameters are at their best in each cell.
    """
    across, down = axes[0], axes[1] if len(axes) > 1 else None
    columns = {value: place for place, value in enumerate(across.values)}
    lines = {None: 0} if down is None else {value: place for place, value in enumerate(down.values)}
    cells: list[list[float | None]] = [[None] * len(columns) for _ in lines]
    for trial in trials:
        score = trial.score(objective)
        if score is None:
            continue
        line = cells[lines[None if down is None else trial.parameters[down.name]]]
        place = columns[trial.parameters[across.name]]
        known = line[place]
        line[place] = score if known is None else max(known, score)
    return across, down, cells
