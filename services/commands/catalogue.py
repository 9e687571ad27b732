"""`strategies list --symbol …` and `strategies inspect`: what the table `strategies` holds."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from config import Settings, load_settings
from models.errors import ConfigError
from services.commands.output import AsJson, print_json, print_line, print_table, print_warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.commands.code_trial import Trial
    from services.intake.inspector import Analysis, StrategyInspector
    from services.intake.repository import CatalogueRow, StrategyRepository

COLUMNS = ("strategy id", "symbol", "type", "score", "win rate", "drawdown", "evaluated", "runs")


def list_catalogue(wanted: dict[str, Any], *, as_json: bool) -> None:
    """Print the active rows that fit, best first; `inspect` tries the code of those that have some."""
    settings = load_settings()
    inspector = inspector_of(settings)
    with repository_of(settings) as repository:
        analyses = [inspector.analyze_strategy(row) for row in repository.find(**wanted)]
    if as_json:
        print_json([each.describe()["strategy"] | {"runnable": each.runnable} for each in analyses])
    elif analyses:
        print_table(
            COLUMNS,
            (
                (
                    each.strategy.strategy_id,
                    each.strategy.symbol,
                    each.strategy.strategy_type,
                    f"{each.strategy.current_score:g}",
                    each.performance["win_rate"],
                    each.performance["max_drawdown"],
                    each.strategy.last_evaluated_at,
                    _runs(each),
                )
                for each in analyses
            ),
        )
    else:
        print_line("no strategies in the catalogue fit")


def _runs(analysis: "Analysis") -> str:
    """Say whether a row runs, as far as that is known without running stored code."""
    if not analysis.runnable:
        return "no"
    return "untried" if analysis.strategy.has_code else "yes"


def inspect(
    strategy_id: Annotated[UUID, typer.Argument(metavar="ID", help="A row's UUID.")], as_json: AsJson = False
) -> None:
    """Show one row of the catalogue: whether it can run and why not, its parameters, its performance.

    Python is tried in a sealed process on a made-up market, as `validate` tries it.
    """
    settings = load_settings()
    with repository_of(settings) as repository:
        row, code = repository.get_strategy(strategy_id), repository.code_of(strategy_id)
    if row is None:
        raise typer.BadParameter(
            f"no strategy {strategy_id} in the catalogue; see `strategies list --limit 20`"
        )
    analysis = inspector_of(settings).analyze_strategy(row)
    trial = None if code is None else _try(settings, row, code)
    if trial is not None:
        analysis = analysis.with_problems(trial.problems)
    described = analysis.describe()
    if as_json:
        print_json(described)
        return
    print_line(f"{row.strategy_type} on {row.symbol}, score {row.current_score:g}")
    if trial is not None and trial.untried:
        print_warning(f"its code was read and not tried: {trial.untried}")
    print_line("it can run" if analysis.runnable else "it cannot run:")
    for problem in analysis.problems:
        print_line(f"  {problem}")
    headings = ("parameter", "value", "from", "to")
    rows = described["parameters"].items()
    print_table(headings, ((name, each["value"], each["minimum"], each["maximum"]) for name, each in rows))
    print_table(("metric", "value"), analysis.performance.items())


def _try(settings: Settings, row: "CatalogueRow", code: str) -> "Trial":
    from services.commands.code_trial import try_code

    parameters = row.parameters if isinstance(row.parameters, dict) else {}
    return try_code(settings, code, row.symbol, parameters)


@contextmanager
def repository_of(settings: Settings) -> "Iterator[StrategyRepository]":
    """Give the catalogue. Raises ConfigError without a DATABASE_URL."""
    from services.db_client import Database
    from services.intake.repository import StrategyRepository

    if settings.database_url is None:
        raise ConfigError("DATABASE_URL is not set: the catalogue is the table strategies there")
    database = Database(settings.database_url)
    try:
        yield StrategyRepository(database)
    finally:
        database.close()


def inspector_of(settings: Settings) -> "StrategyInspector":
    """Return what judges rows by the strategies that a worker with these settings has."""
    from services.intake.inspector import StrategyInspector
    from services.intake.service import class_finder

    return StrategyInspector(class_finder(settings))
