"""`strategies put|reload`: the way of an author's file into the catalogue, and into what runs."""

import json
import re
import time
from pathlib import Path
from threading import Event
from typing import Annotated, Any
from uuid import UUID

import typer

from config import Settings, load_settings
from models.errors import ConfigError, StorageError, StrategyRejected
from models.market_data import SYMBOL_PATTERN
from services.commands.code_trial import Trial, read_code, try_code
from services.commands.output import AsJson, print_json, print_line, print_warning

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
    _, trial = _tried(load_settings(), file, symbol, _parameters(param))
    if as_json:
        print_json({"file": str(file), "valid": not trial.problems, **trial.describe()})
    elif not trial.problems:
        _tell(file, trial)
    for problem in trial.problems if not as_json else ():
        print_line(f"{file}: {problem}")
    if trial.problems:
        raise typer.Exit(1)


def put(
    file: Source,
    name: Annotated[str, typer.Option(callback=check_name, help="What people call it.")],
    symbol: Annotated[str, typer.Option(callback=check_symbol, help="The symbol that it trades.")],
    param: Parameter = None,
    untried: Annotated[
        bool, typer.Option("--untried", help="Only read Python, and store what fails when it is tried.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Validate a file and store it in the catalogue; the same name and symbol again replaces its code.

    What runs goes on with the old code until `strategies reload`, or by itself with STRATEGY_RELOAD=auto.
    """
    settings = load_settings()
    parameters = _parameters(param)
    source, trial = _tried(settings, file, symbol, parameters, only_read=untried)
    _check_storable(file, trial, untried=untried)
    strategy_id, replaced = _store(settings, source, (name, symbol), parameters)
    if as_json:
        print_json({"strategy_id": strategy_id, "replaced": replaced, **trial.describe()})
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


def _tell(file: Path, trial: Trial) -> None:
    form = _FORMS[trial.form or "script"]
    if trial.untried is None:
        print_line(
            f"{file}: {trial.name} can run, {form}; tried on a made-up market, {trial.signals} signals"
        )
    else:
        print_line(f"{file}: {form}, and nothing that is wrong is plain to see")
        print_warning(f"it was not tried: {trial.untried}")


def _check_storable(file: Path, trial: Trial, *, untried: bool) -> None:
    from services.commands.peers import CommandFailed

    if trial.problems:
        raise CommandFailed(f"{file}: {'; '.join(trial.problems)}")
    if trial.untried is not None and not untried:
        raise ConfigError(f"{file} cannot be tried here ({trial.untried}); --untried stores it all the same")


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


def _tried(
    settings: Settings, file: Path, symbol: str, parameters: dict[str, Any], *, only_read: bool = False
) -> tuple[str, Trial]:
    """Return what a file holds, and what came of it."""
    try:
        source = _read(file)
    except StrategyRejected as error:
        return "", Trial(problems=(str(error),))
    if only_read:
        return source, read_code(settings, source)
    return source, try_code(settings, source, symbol, parameters)


def _read(file: Path) -> str:
    """Return what a file holds. Raises StrategyRejected for what is no source that could be stored."""
    from services.sandbox.protocol import LONGEST_SOURCE

    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StrategyRejected(f"it cannot be read: {error}") from None
    if len(source) > LONGEST_SOURCE or "\0" in source:
        raise StrategyRejected(f"at most {LONGEST_SOURCE} characters are stored, and no NUL")
    if all(not line.strip() or line.lstrip().startswith("#") for line in source.splitlines()):
        raise StrategyRejected("it holds no code: write a class, handler functions or a script")
    return source


def _store(
    settings: Settings, source: str, named: tuple[str, str], parameters: dict[str, Any]
) -> tuple[str, bool]:
    """Write the row; return its id, and whether it was there."""
    from hashlib import sha256

    from services.commands.peers import CommandFailed
    from services.db_client import Database

    if settings.database_url is None:
        raise ConfigError("DATABASE_URL is not set: the catalogue is the table strategies there")
    values = json.dumps(parameters, sort_keys=True)
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
