"""Looks at rows of the catalogue: can they run, are their numbers possible, and how good are they."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from models.errors import StrategyRejected
from services.intake.discovered import FindClass, check_stored, performance_problem, unstorable
from services.intake.repository import CatalogueRow
from strategies.rule_strategy import STORED_RULES

METRICS = (
    "total_return",
    "sharpe_ratio",
    "max_drawdown",
    "win_rate",
    "profit_factor",
    "total_trades",
    "avg_trade_duration",
)


class Analysis(Struct, frozen=True):
    """What is known of one row. `runnable` is whether a session of it would start; `problems` say why not."""

    strategy: CatalogueRow
    runnable: bool
    problems: tuple[str, ...]
    parameters: dict[str, dict[str, Any]]
    performance: dict[str, float | None]
    evaluated_days: float | None

    def with_problems(self, problems: Sequence[str]) -> "Analysis":
        """Return it with what was found out beside it."""
        return replace(self, runnable=self.runnable and not problems, problems=(*self.problems, *problems))

    def describe(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        described: dict[str, Any] = msgspec.to_builtins(self)
        return described


class StrategyInspector:
    """Judges strategies by what their class declares; `find_class` gives the class of a type, or None."""

    def __init__(self, find_class: FindClass) -> None:
        self._find_class = find_class

    def analyze_strategy(self, row: CatalogueRow) -> Analysis:
        """Return everything that can be said of a row without running it."""
        problems = self.validate_strategy(row)
        start, end = row.discovery_start_time, row.discovery_end_time
        return Analysis(
            strategy=row,
            runnable=not problems,
            problems=tuple(problems),
            parameters=self._declared(row),
            performance=self.extract_performance_metrics(row.metrics),
            evaluated_days=None if start is None or end is None else (end - start).total_seconds() / 86_400,
        )

    def validate_strategy(self, row: CatalogueRow) -> list[str]:
        """Say everything that keeps a row from running, or that cannot be true of it."""
        problems = [] if row.is_active else ["it is switched off (is_active is false)"]
        if not row.has_code:  # what is wrong with code is found by `strategies validate`, or when it starts
            problems += self.validate_parameters(row.strategy_type, row.parameters)
        metrics = row.metrics if isinstance(row.metrics, Mapping) else {}
        numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
        if problem := performance_problem(row.current_score, numbers):
            problems.append(problem)
        return problems

    def validate_parameters(self, strategy_type: str, parameters: object) -> list[str]:
        """Say what is wrong with parameters for a type; that the type is not known is one such thing."""
        if not isinstance(parameters, Mapping):
            return ["its parameters are no JSON object"]
        if problem := unstorable(dict(parameters)):
            return [problem]
        cls = self._find_class(strategy_type)
        try:
            if strategy_type == STORED_RULES:
                check_stored(parameters)
            elif cls is None:
                return [f"no strategy class or rule is called {strategy_type!r}, so it cannot run"]
            else:
                cls.parameters.bind(parameters)
        except StrategyRejected as error:
            return [str(error)]
        return []

    def extract_performance_metrics(self, metrics: object) -> dict[str, float | None]:
        """Return the metrics that every pipeline reports, None for those that are missing or no numbers."""
        given = metrics if isinstance(metrics, Mapping) else {}
        return {name: _number(given.get(name)) for name in METRICS}

    def _declared(self, row: CatalogueRow) -> dict[str, dict[str, Any]]:
        """Return each parameter with its value and what the class allows, where the class is known."""
        cls = self._find_class(row.strategy_type)
        declared = {} if cls is None else cls.parameters.declared
        given = row.parameters if isinstance(row.parameters, Mapping) else {}
        return {
            name: {
                "value": given.get(name, declared[name].default if name in declared else None),
                "given": name in given,
                "minimum": declared[name].minimum if name in declared else None,
                "maximum": declared[name].maximum if name in declared else None,
            }
            for name in {**declared, **given}
        }


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
