"""`strategies put|reload`: the way of an author's file into the catalogue, and into what runs."""

import json
import re
import time
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from config import Settings, load_settings
from models.errors import ConfigError, StorageError, StrategyError
from models.market_data import SYMBOL_PATTERN
from services.commands.output import AsJson, print_json, print_line

if TYPE_CHECKING:
    from services.sandbox.protocol import Loaded

RELOAD_SECONDS = 30.0
LOOK_SECONDS = 0.1

LONGEST_NAME = 100


def check_symbol(symbol: str) -> str:
    """Return a symbol as market data name them. Raises BadParameter for another text."""
    if re.match(SYMBOL_PATTERN, symbol) is None:
        raise typer.BadParameter(f"{symbol!r} is no symbol: 1 to 32 letters, digits and . _ : / -")
    return symbol


def check_name(name: str) -> str:
    """Return a name that people can read. Raises BadParameter for another text."""
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise typer.BadParameter(
            f"{name[:LONGEST_NAME]!r} is no name: 1 to {LONGEST_NAME} printable characters"
        )
    return name


def _python(file: Path) -> Path:
    if file.suffix != ".py":
        raise typer.BadParameter(f"{file.name} does not end in .py; rules (*.yaml) go into STRATEGIES_PATH")
    return file


Source = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, readable=True, callback=_python, help="A Python file."),
]
Parameter = Annotated[
    list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="Again for each further one.")
]

FIND = """
    SELECT strategy_id::text FROM strategies
    WHERE name = %s AND symbol = %s AND python_code IS NOT NULL ORDER BY created_at LIMIT 1
"""
UPDATE = "UPDATE strategies SET python_code = %s, parameters = %s, strategy_hash = %s WHERE strategy_id = %s"
INSERT = """
    INSERT INTO strategies
        (name, symbol, strategy_type, parameters, python_code, current_score, strategy_hash)
    VALUES (%s, %s, 'python', %s, %s, 0, %s) RETURNING strategy_id::text
"""


def validate_code(file: Path, symbol: str, param: list[str] | None, *, as_json: bool) -> None:
    """Print what a file of Python makes, or where it fails; then exit with 1."""
    from services.commands.peers import CommandFailed

    loaded: dict[str, Any] = {}
    problems: list[str] = []
    try:
        loaded = _load(load_settings(), file, symbol, _parameters(param))
    except CommandFailed as error:
        problems.append(str(error))
    if as_json:
        print_json({"file": str(file), "valid": not problems, "problems": problems, **loaded})
    elif loaded:
        print_line(f"{file}: {loaded['name']} can run, {_FORMS[loaded['form']]}")
    for problem in problems if not as_json else ():
        print_line(problem)
    if problems:
        raise typer.Exit(1)


def put(
    file: Source,
    name: Annotated[str, typer.Option(callback=check_name, help="What people call it.")],
    symbol: Annotated[str, typer.Option(callback=check_symbol, help="The symbol that it trades.")],
    param: Parameter = None,
    as_json: AsJson = False,
) -> None:
    """Validate a file and store it in the catalogue; the same name and symbol again replaces its code.

    What runs goes on with the old code until `strategies reload`, or by itself with STRATEGY_RELOAD=auto.
    """
    settings = load_settings()
    parameters = _parameters(param)
    loaded = _load(settings, file, symbol, parameters)
    strategy_id, replaced = _store(settings, file, (name, symbol), parameters)
    if as_json:
        print_json({"strategy_id": strategy_id, "replaced": replaced, **loaded})
    else:
        print_line(f"{strategy_id}: {name} on {symbol}, {'replaced' if replaced else 'new'}")
        print_line(f"start it with: session start {symbol} --strategy {strategy_id}")


def reload(
    strategy_id: Annotated[UUID, typer.Argument(metavar="ID", help="A row's UUID.")], as_json: AsJson = False
) -> None:
    """Have running sessions go on with the code of now, between two events; where it fails, the old stays."""
    from services.commands.peers import CommandFailed, order_worker

    settings = load_settings()
    before = {key: shown["reloads"] for key, (shown, _) in _sandboxed(settings, strategy_id).items()}
    order_worker(settings, f"/strategies/{strategy_id}/reload")
    after = _await_reload(settings, strategy_id, before)
    if as_json:
        print_json(
            [{"key": key, "codeHash": s["codeHash"], "reason": why} for key, (s, why) in after.items()]
        )
    failed = {key: why for key, (_, why) in after.items() if why}
    if failed:
        raise CommandFailed("; ".join(f"session {key}: {why}" for key, why in failed.items()))
    if not as_json:
        for key, (shown, _) in after.items():
            print_line(f"session {key} runs code {shown['codeHash']}")


_FORMS = {
    "class": "a class that subclasses BaseStrategy",
    "handlers": "handler functions",
    "script": "a script that is run once per bar",
}


def _parameters(given: list[str] | None) -> dict[str, Any]:
    """Return parameters as JSON has them: 3 is a number, true a truth value, anything else a text."""
    parameters: dict[str, Any] = {}
    for each in given or []:
        name, found, value = each.partition("=")
        if not found:
            raise typer.BadParameter(f"--param is {each!r}; write NAME=VALUE")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    return parameters


def _load(settings: Settings, file: Path, symbol: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what a file makes. Raises CommandFailed with the line and column of what is wrong."""
    from services.commands.peers import CommandFailed
    from services.sandbox.opening import open_sandbox
    from services.sandbox.protocol import Load
    from services.sandbox.strikes import StrikeBook
    from services.sandbox.ward import Ward

    ward = Ward(lambda lost: open_sandbox(settings, lost), StrikeBook(None))
    load = Load(
        source=_read(file),
        session_key="validate",
        strategy_id="validate",
        symbol=symbol,
        session_id=None,
        parameters=parameters,
    )
    try:
        link = ward.open(load)
    except StrategyError as error:
        raise CommandFailed(f"{file}: {error}") from None
    finally:
        ward.stop(1.0)
    loaded: Loaded = link.loaded
    return {
        "form": loaded.form,
        "name": loaded.name,
        "warmup_bars": loaded.warmup_bars,
        "watched_symbols": loaded.watched_symbols,
        "code_hash": link.code_hash,
    }


def _read(file: Path) -> str:
    from services.commands.peers import CommandFailed
    from services.sandbox.protocol import LONGEST_SOURCE

    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{file} cannot be read: {error}") from None
    if len(source) > LONGEST_SOURCE or "\0" in source:
        raise CommandFailed(f"{file}: at most {LONGEST_SOURCE} characters are stored, and no NUL")
    if all(not line.strip() or line.lstrip().startswith("#") for line in source.splitlines()):
        raise CommandFailed(f"{file} holds no code: write a class, handler functions or a script")
    return source


def _store(
    settings: Settings, file: Path, named: tuple[str, str], parameters: dict[str, Any]
) -> tuple[str, bool]:
    """Write the row; return its id, and whether it was there."""
    from hashlib import sha256

    from services.commands.peers import CommandFailed
    from services.db_client import Database

    if settings.database_url is None:
        raise ConfigError("DATABASE_URL is not set: the catalogue is the table strategies there")
    source, values = _read(file), json.dumps(parameters, sort_keys=True)
    strategy_hash = sha256("\0".join((*named, values, source)).encode()).hexdigest()
    database = Database(settings.database_url, size=1)
    try:
        with database.transaction() as cursor:
            cursor.execute(FIND, named)
            if row := cursor.fetchone():
                cursor.execute(UPDATE, (source, values, strategy_hash, row[0]))
                return str(row[0]), True
            cursor.execute(INSERT, (*named, values, source, strategy_hash))
            inserted = cursor.fetchone()
            return str(inserted[0] if inserted else ""), False
    except StorageError as error:
        raise CommandFailed(f"{named[0]} was not stored: {error}") from None
    finally:
        database.close()


def _sandboxed(settings: Settings, strategy_id: UUID) -> dict[str, tuple[dict[str, Any], str | None]]:
    """Return what the worker shows of the processes of a strategy, by session, with the reason."""
    from services.commands.peers import ask_worker

    return {
        each["key"]: (each["sandbox"], each["reason"])
        for each in ask_worker(settings, "/sessions")
        if each["strategyId"] == str(strategy_id) and "sandbox" in each
    }


def _await_reload(
    settings: Settings, strategy_id: UUID, before: dict[str, int]
) -> dict[str, tuple[dict[str, Any], str | None]]:
    deadline, never = time.monotonic() + RELOAD_SECONDS, Event()
    while True:
        shown = _sandboxed(settings, strategy_id)
        if all(sandbox["reloads"] > before.get(key, 0) for key, (sandbox, _) in shown.items()):
            return shown
        if time.monotonic() > deadline:
            return {key: (sandbox, why or "no answer yet") for key, (sandbox, why) in shown.items()}
        never.wait(LOOK_SECONDS)
