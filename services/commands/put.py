"""`strategies put`: the way of an author's file into the catalogue."""

import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from config import Settings, load_settings
from models.errors import ConfigError, StorageError
from services.commands.output import AsJson, print_json, print_line
from services.commands.rule_trial import try_rules
from services.commands.stored_code import Parameter, check_symbol, parameters_of, tried

LONGEST_NAME = 100
PYTHON = "python"

# Who puts the same at the same moment waits, and then finds the row.
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
FIND = """
    SELECT strategy_id::text FROM strategies
    WHERE name = %s AND symbol = %s AND (python_code IS NOT NULL OR strategy_type = %s)
    ORDER BY created_at LIMIT 1
"""
UPDATE = """
    UPDATE strategies SET strategy_type = %s, parameters = %s, python_code = %s, strategy_hash = %s
    WHERE strategy_id = %s
"""
INSERT = """
    INSERT INTO strategies
        (strategy_type, parameters, python_code, strategy_hash, name, symbol, current_score)
    VALUES (%s, %s, %s, %s, %s, %s, 0) RETURNING strategy_id::text
"""


class Content(NamedTuple):
    """What a row runs: code, or rules that are in its parameters."""

    strategy_type: str
    parameters: dict[str, Any]
    source: str | None


def check_name(name: str) -> str:
    """Return a name that people can read. Raises BadParameter for another text."""
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise typer.BadParameter(
            f"{name[:LONGEST_NAME]!r} is no name: 1 to {LONGEST_NAME} printable characters"
        )
    return name


def _known(file: Path) -> Path:
    from strategies.folder import RULE_SUFFIXES

    if file.suffix != ".py" and file.suffix not in RULE_SUFFIXES:
        raise typer.BadParameter(
            f"{file.name} is neither Python, whose names end in .py, nor rules, whose names end in .yaml"
        )
    return file


Source = Annotated[
    Path,
    typer.Argument(
        exists=True, dir_okay=False, readable=True, callback=_known, help="Python, *.py, or rules, *.yaml."
    ),
]


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
    """Validate a file and store it in the catalogue; the same name and symbol again replaces what is there.

    What runs goes on with the old code until `strategies reload`, or by itself with STRATEGY_RELOAD=auto;
    with old rules until its session is stopped and started.
    """
    settings = load_settings()
    parameters = parameters_of(param)
    if file.suffix == ".py":
        content, described = _code(settings, file, symbol, parameters, untried=untried)
    else:
        content, described = _rules(file, parameters)
    strategy_id, replaced = store(settings, (name, symbol), content)
    if as_json:
        print_json({"strategy_id": strategy_id, "replaced": replaced, **described})
    else:
        print_line(f"{strategy_id}: {name} on {symbol}, {'replaced' if replaced else 'new'}")
        print_line(f"start it with: session start {symbol} --strategy {strategy_id}")


def _code(
    settings: Settings, file: Path, symbol: str, parameters: dict[str, Any], *, untried: bool
) -> tuple[Content, dict[str, Any]]:
    source, trial = tried(settings, file, symbol, parameters, only_read=untried)
    _refuse(file, trial.problems)
    if trial.untried is not None and not untried:
        raise ConfigError(f"{file} cannot be tried here ({trial.untried}); --untried stores it all the same")
    return Content(PYTHON, parameters, source), trial.describe()


def _rules(file: Path, parameters: dict[str, Any]) -> tuple[Content, dict[str, Any]]:
    from strategies.rule_strategy import STORED_RULES

    trial = try_rules(file, parameters)
    _refuse(file, trial.problems)
    stored = {"rules": trial.text, "parameters": parameters}
    return Content(STORED_RULES, stored, None), {"form": "rules", "name": trial.name}


def _refuse(file: Path, problems: tuple[str, ...]) -> None:
    from services.commands.peers import CommandFailed

    if problems:
        raise CommandFailed(f"{file}: {'; '.join(problems)}")


def store(settings: Settings, named: tuple[str, str], content: Content) -> tuple[str, bool]:
    """Write the row of this name and symbol; return its id, and whether it was there.

    Raises ConfigError without a DATABASE_URL, CommandFailed where it cannot be written.
    """
    from hashlib import sha256

    from services.commands.peers import CommandFailed
    from services.db_client import Database
    from strategies.rule_strategy import STORED_RULES

    if settings.database_url is None:
        raise ConfigError("DATABASE_URL is not set: the catalogue is the table strategies there")
    values, source = json.dumps(content.parameters, sort_keys=True), content.source
    strategy_hash = sha256("\0".join((*named, values, source or "")).encode()).hexdigest()
    row = (content.strategy_type, values, source, strategy_hash)
    database = Database(settings.database_url, size=1)
    try:
        with database.transaction() as cursor:
            cursor.execute(ONE_AT_A_TIME, (json.dumps(("strategies", *named)),))
            cursor.execute(FIND, (*named, STORED_RULES))
            if found := cursor.fetchone():
                cursor.execute(UPDATE, (*row, found[0]))
                return str(found[0]), True
            cursor.execute(INSERT, (*row, *named))
            inserted = cursor.fetchone()
            return str(inserted[0] if inserted else ""), False
    except StorageError as error:
        raise CommandFailed(f"{named[0]} was not stored: {error}") from None
    finally:
        database.close()
