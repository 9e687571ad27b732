"""What `backtest` is told, as history takes it: strategies, parameters, files, limits."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from config import Settings
from models.errors import StrategyRejected
from services.commands.output import print_warning
from services.commands.strategies import load

if TYPE_CHECKING:
    from services.history.bars import BarFile
    from services.history.options import RiskRules
    from strategies.base_strategy import BaseStrategy

MOST_PROBLEMS = 10


def find_strategy(settings: Settings, name: str) -> "type[BaseStrategy]":
    """Return the class of this name. Raises BadParameter, saying what could not be loaded, for others."""
    registry, failures = load(settings)
    try:
        return registry.get(name)
    except StrategyRejected as error:
        reasons = "".join(f"; not loaded: {failure.file}: {failure.reason}" for failure in failures)
        raise typer.BadParameter(f"{error}{reasons}", param_hint="--strategy") from None


def parameters_of(strategy_class: "type[BaseStrategy]", given: Sequence[str]) -> Mapping[str, Any]:
    """Read `name=value`, each as its parameter is declared. Raises BadParameter for what does not fit."""
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is no name=value", param_hint="--param")
        values[name.strip()] = read_value(strategy_class, name.strip(), value.strip())
    try:
        strategy_class.parameters.bind(values)
    except StrategyRejected as error:
        raise typer.BadParameter(str(error), param_hint="--param") from None
    return values


def read_value(strategy_class: "type[BaseStrategy]", name: str, text: str) -> bool | float | str:
    """Read a value as the parameter of that name is declared; as text where it cannot be."""
    declared = strategy_class.parameters.declared.get(name)
    if declared is None or declared.kind is str:
        return text
    if declared.kind is bool:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(
            text.lower(), text
        )
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def tell_problems(file: "BarFile") -> None:
    """Name the rows that are no bars, and are left out, on stderr."""
    for problem in file.problems[:MOST_PROBLEMS]:
        print_warning(f"left out: {problem}")
    if len(file.problems) > MOST_PROBLEMS:
        print_warning(f"left out: {len(file.problems) - MOST_PROBLEMS} rows more; see `engine check`")


@contextmanager
def parameters_that_fit() -> Iterator[None]:
    """Take a strategy's refusal of its parameters for wrong use of the command."""
    try:
        yield
    except StrategyRejected as error:
        raise typer.BadParameter(str(error), param_hint="--param") from None


def risk_rules(settings: Settings) -> "RiskRules":
    """Return the limits of the RISK_… settings, whether RISK_ENABLED is set or not."""
    from datetime import time

    from models.portfolio import decimal_of
    from services.history.options import RiskRules
    from services.risk.assembly import limits_of

    return RiskRules(
        limits=limits_of(settings),
        portfolio_value=decimal_of(settings.risk_portfolio_value),
        day_start=time.fromisoformat(settings.risk_day_start),
        most_per_second=settings.risk_max_orders_per_second,
    )
