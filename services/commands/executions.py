"""`python main.py executions …`: portfolio executions as the tables hold them, and orders to the worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from config import load_settings
from models.errors import ConfigError
from services.commands.output import AsJson, print_json, print_line, print_table

if TYPE_CHECKING:
    from services.portfolio.execution_records import ExecutionRecords

COLUMNS = ("started_at", "execution_id", "name", "status", "total_pnl", "total_exposure", "reason")
ORDER_COLUMNS = (
    "cycle",
    "reason",
    "side",
    "symbol",
    "quantity",
    "price",
    "status",
    "filled_price",
    "error_message",
)
INTERNAL = {"state", "orders", "positions", "config"}

ExecutionId = Annotated[str, typer.Argument(metavar="ID", help="As `executions list` shows it.")]

executions = typer.Typer(help="See portfolio executions; stop, pause and resume them.", no_args_is_help=True)


@executions.command("list")
def list_executions(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the newest executions, newest first, those that have ended too."""
    with records() as found:
        rows = [_values(row) for row in found.newest(limit)]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(COLUMNS, ([row[column] for column in COLUMNS] for row in rows))
    else:
        print_line("no executions")


@executions.command()
def show(execution_id: ExecutionId, as_json: AsJson = False) -> None:
    """Show everything about one execution: its state, its positions and all its orders."""
    from services.commands.peers import CommandFailed

    with records() as found:
        row = found.get(execution_id)
    if row is None:
        raise CommandFailed(f"there is no execution {execution_id}: `executions list` shows those there are")
    shown = _values(row)
    if as_json:
        print_json(shown)
        return
    print_table(("field", "value"), ((name, value) for name, value in shown.items() if name not in INTERNAL))
    if shown["positions"]:
        names = next(iter(shown["positions"].values()))
        rows = ([symbol, *held.values()] for symbol, held in shown["positions"].items())
        print_table(("symbol", *names), rows)
    print_table(ORDER_COLUMNS, ([order[column] for column in ORDER_COLUMNS] for order in shown["orders"]))


@executions.command()
def stop(execution_id: ExecutionId) -> None:
    """Have the worker close every position of an execution, and then stop it."""
    _order(execution_id, "stop")


@executions.command()
def pause(execution_id: ExecutionId) -> None:
    """Have the worker neither enter nor rebalance; stop losses still close positions."""
    _order(execution_id, "pause")


@executions.command()
def resume(execution_id: ExecutionId) -> None:
    """Have the worker go on with an execution that is paused or in error."""
    _order(execution_id, "resume")


@contextmanager
def records() -> Iterator["ExecutionRecords"]:
    """Give the executions of DATABASE_URL. Raises ConfigError without one."""
    from services.db_client import Database
    from services.portfolio.execution_records import ExecutionRecords

    url = load_settings().database_url
    if url is None:
        raise ConfigError("DATABASE_URL is not set: portfolio executions need a database")
    database = Database(url, size=1)
    try:
        yield ExecutionRecords(database)
    finally:
        database.close()


def _order(execution_id: str, command: Literal["stop", "pause", "resume"]) -> None:
    from services.commands.peers import order_worker

    order_worker(load_settings(), f"/executions/{execution_id}/{command}")
    print_line(f"execution {execution_id}: {command} is on its way; `executions show` tells what came of it")


def _values(row: Any) -> Any:
    """Return a record as JSON takes it: numbers as numbers, times as ISO 8601."""
    match row:
        case dict():
            return {name: _values(value) for name, value in row.items()}
        case list():
            return [_values(each) for each in row]
        case Decimal():
            return float(row)
        case datetime():
            return row.isoformat()
    return row
