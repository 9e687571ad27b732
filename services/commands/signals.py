"""`python main.py signals …`: what became of signals, and what a person found out about one."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from config import load_settings
from models.errors import ConfigError
from models.signal import SignalStatus
from services.commands.output import AsJson, print_json, print_line, print_table

if TYPE_CHECKING:
    from services.signals.signal_records import SignalRecords

COLUMNS = (
    "created_at",
    "signal_id",
    "session_key",
    "symbol",
    "action",
    "quantity",
    "price",
    "status",
    "reason",
)

SignalId = Annotated[str, typer.Argument(metavar="ID", help="The signal's id.")]

signals = typer.Typer(help="See signals and what became of them.", no_args_is_help=True)


@signals.command("list")
def list_signals(
    status: Annotated[SignalStatus | None, typer.Option(help="Only those with this status.")] = None,
    session: Annotated[str | None, typer.Option(help="Only those of the session with this key.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the newest signals, newest first."""
    with records() as found:
        rows = found.newest(limit, status, session)
    if as_json:
        print_json([as_values(row) for row in rows])
    elif rows:
        print_table(COLUMNS, ([_cell(row[column]) for column in COLUMNS] for row in rows))
    else:
        print_line("no signals")


@signals.command()
def show(signal_id: SignalId, as_json: AsJson = False) -> None:
    """Show everything about one signal."""
    from services.commands.peers import CommandFailed

    with records() as found:
        row = found.get(signal_id)
    if row is None:
        raise CommandFailed(f"there is no signal {signal_id}: `signals list` shows those there are")
    _print(row, as_json)


@signals.command()
def resolve(
    signal_id: SignalId,
    finding: Annotated[
        Literal["executed", "rejected"], typer.Option("--as", help="What you found out at the gateway.")
    ],
    reason: Annotated[
        str, typer.Option(help="How you know; kept with your name and the time.")
    ] = "no reason given",
    by: Annotated[str | None, typer.Option(help="Who says so; by default your user name here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what became of a signal whose outcome is unknown, so that its session may be resumed."""
    with records() as found:
        row = found.resolve(signal_id, finding, by or user_name(), reason)
    _print(row, as_json)


@contextmanager
def records() -> Iterator["SignalRecords"]:
    """Give the signals of DATABASE_URL. Raises ConfigError without one."""
    from services.db_client import Database
    from services.signals.signal_records import SignalRecords

    url = load_settings().database_url
    if url is None:
        raise ConfigError("DATABASE_URL is not set: without it signals are kept in memory only")
    database = Database(url, size=1)
    try:
        yield SignalRecords(database)
    finally:
        database.close()


def as_values(row: dict[str, Any]) -> dict[str, Any]:
    """Return a record as JSON takes it: numbers as numbers, times as ISO 8601."""
    return {name: _value(value) for name, value in row.items() if name not in {"worker", "is_resolvable"}}


def user_name() -> str:
    """Return who runs this process, as the system knows it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def _print(row: dict[str, Any], as_json: bool) -> None:
    values = as_values(row)
    if as_json:
        print_json(values)
    else:
        print_table(("field", "value"), values.items())


def _value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _cell(value: Any) -> Any:
    return value.isoformat(sep=" ", timespec="milliseconds") if isinstance(value, datetime) else _value(value)
