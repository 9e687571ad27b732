"""`python main.py strategies …`: which strategies a worker with these settings can start by name."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from config import Settings, load_settings
from models.errors import StrategyRejected
from services.commands.catalogue import inspect, list_catalogue
from services.commands.output import AsJson, print_json, print_line, print_table, print_warning
from services.commands.put import put
from services.commands.reload import reload
from services.commands.rule_trial import try_rules
from services.commands.stored_code import Parameter, check_symbol, parameters_of, validate_code

if TYPE_CHECKING:
    from strategies.base_strategy import BaseStrategy
    from strategies.folder import LoadFailure
    from strategies.registry import StrategyRegistry

MOST = 100_000

strategies = typer.Typer(help="See which strategies there are.", no_args_is_help=True)


@strategies.command("list")
def list_strategies(
    symbol: Annotated[str | None, typer.Option(help="Rows of the catalogue for it.")] = None,
    strategy_type: Annotated[str | None, typer.Option("--type", help="Rows of that type.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Rows with at least that score.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=MOST, help="At most so many rows.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show every strategy: the built-in ones, and those of STRATEGIES_PATH with what could not be loaded.

    With one of the options: the active rows of the catalogue instead, best first, 1000 at most.
    """
    from strategies.folder import LoadFailure

    wanted = {"symbol": symbol, "strategy_type": strategy_type, "min_score": min_score, "limit": limit}
    if given := {name: value for name, value in wanted.items() if value is not None}:
        list_catalogue(given, as_json=as_json)
        return

    registry, failures = load(load_settings())
    described = []
    for name in registry.names():
        try:
            described.append(description(registry.get(name)))
        except StrategyRejected as error:
            failures.append(LoadFailure(name, str(error)))
    if as_json:
        print_json({"strategies": described, "failures": [asdict(failure) for failure in failures]})
        return
    by_hand = [each for each in described if each["rules"] is None]
    print_table(("name", "parameters", "warm-up", "what it does"), map(_cells, by_hand))
    rules = [each for each in described if each["rules"] is not None]
    print_table(("rules", "what they do"), ((each["name"], each["doc"]) for each in rules))
    print_line("Their parameters: python main.py strategies show NAME")
    for failure in failures:
        print_warning(f"not loaded: {failure.file}: {failure.reason}")


@strategies.command()
def show(
    name: Annotated[str, typer.Argument(help="The strategy's name, or a row's UUID.")],
    as_json: AsJson = False,
) -> None:
    """Show what one strategy does and which parameters it takes; of a row, what `inspect` shows."""
    if (row := _row(name)) is not None:
        inspect(row, as_json=as_json)
        return
    registry, failures = load(load_settings())
    try:
        strategy = registry.get(name)
    except StrategyRejected as error:
        reasons = "".join(f"; not loaded: {failure.file}: {failure.reason}" for failure in failures)
        raise typer.BadParameter(f"{error}{reasons}") from None
    described = description(strategy)
    if as_json:
        print_json(described)
        return
    print_line(f"{described['name']}, warm-up {described['warmup_bars']} bars")
    for line in described["doc"].splitlines():
        print_line(line)
    if described["parameters"]:
        headings = ("parameter", "type", "default", "from", "to", "choices", "meaning")
        print_table(headings, (_parameter(*item) for item in described["parameters"].items()))
    for part, text in (described["rules"] or {}).items():
        print_line(f"{part}: {text}")


@strategies.command()
def validate(
    file: Annotated[
        Path, typer.Argument(help="A file of rules, *.yaml, or of Python, *.py.", exists=True, dir_okay=False)
    ],
    symbol: Annotated[str, typer.Option(callback=check_symbol, help="What Python is tried for.")] = "AAPL",
    param: Parameter = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a strategy in a file can run; if not, what is wrong, where, and what was meant.

    Python is tried in a sealed process on a made-up market, as it is by `strategies put`.
    """
    from strategies.folder import RULE_SUFFIXES

    if file.suffix == ".py":
        validate_code(file, symbol, param, as_json=as_json)
        return
    if file.suffix not in RULE_SUFFIXES:
        raise typer.BadParameter(
            f"{file.name} is no file of rules; their names end in .yaml, of Python in .py"
        )
    trial = try_rules(file, parameters_of(param))
    if as_json:
        print_json({"file": str(file), "valid": not trial.problems, "problems": trial.problems})
    elif not trial.problems:
        print_line(f"{file}: {trial.name} can run")
    for problem in trial.problems if not as_json else ():
        print_line(f"{file}: {problem}")
    if trial.problems:
        raise typer.Exit(1)


strategies.command()(inspect)
strategies.command()(put)
strategies.command()(reload)


def description(strategy: "type[BaseStrategy]") -> dict[str, Any]:
    """Return what a person chooses a strategy by. Raises StrategyRejected when it cannot be made."""
    from strategies.registry import describe

    try:
        return describe(strategy)
    except Exception as error:  # whatever an author's __init__ raises
        raise StrategyRejected(f"{strategy.name} cannot be made: {type(error).__name__}: {error}") from error


def load(settings: Settings) -> tuple["StrategyRegistry", list["LoadFailure"]]:
    """Return the strategies that a worker with these settings has, and what could not be loaded in time."""
    from services.own_strategies import load_own
    from strategies.registry import StrategyRegistry

    registry = StrategyRegistry()
    folder = settings.strategies_path
    return registry, [] if folder is None else load_own(registry, folder)


def _row(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


def _cells(described: dict[str, Any]) -> list[object]:
    parameters = (f"{name}={each['default']}" for name, each in described["parameters"].items())
    return [
        described["name"],
        ", ".join(parameters),
        described["warmup_bars"],
        described["doc"].partition("\n")[0],
    ]


def _parameter(name: str, declared: dict[str, Any]) -> list[object]:
    choices = declared["choices"]
    return [
        name,
        declared["type"],
        declared["default"],
        declared["minimum"],
        declared["maximum"],
        None if choices is None else ", ".join(map(str, choices)),
        declared["description"],
    ]
