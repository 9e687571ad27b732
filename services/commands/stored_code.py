"""`strategies validate FILE.py`: what an author's code makes, or what is wrong with it."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from config import Settings, load_settings
from models.errors import StrategyRejected
from models.market_data import SYMBOL_PATTERN
from services.commands.code_trial import Trial, read_code, try_code
from services.commands.output import print_json, print_line, print_warning


def check_symbol(symbol: str) -> str:
    """Return a symbol as market data name them. Raises BadParameter for another text."""
    if re.match(SYMBOL_PATTERN, symbol) is None:
        raise typer.BadParameter(f"{symbol!r} is no symbol: 1 to 32 letters, digits and . _ : / -")
    return symbol


Parameter = Annotated[
    list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="Again for each further one.")
]


def validate_code(file: Path, symbol: str, param: list[str] | None, *, as_json: bool) -> None:
    """Print what a file of Python makes, or where it fails; then exit with 1."""
    _, trial = tried(load_settings(), file, symbol, parameters_of(param))
    if as_json:
        print_json({"file": str(file), "valid": not trial.problems, **trial.describe()})
    elif not trial.problems:
        _tell(file, trial)
    for problem in trial.problems if not as_json else ():
        print_line(f"{file}: {problem}")
    if trial.problems:
        raise typer.Exit(1)


_FORMS = {
    "class": "a class that subclasses BaseStrategy",
    "handlers": "handler functions",
    "script": "a script that is run once per bar",
}


def _tell(file: Path, trial: Trial) -> None:
    form = _FORMS[trial.form or "script"]
    if trial.untried is None:
        print_line(f"{file}: {trial.name} can run, {form} (signals on a made-up market: {trial.signals})")
    else:
        print_line(f"{file}: {form}, and nothing that is wrong is plain to see")
        print_warning(f"it was not tried: {trial.untried}")


def parameters_of(given: list[str] | None) -> dict[str, Any]:
    """Return parameters as JSON has them: 3 is a number, true a truth value, anything else a text.

    Raises BadParameter for what no row can hold.
    """
    from services.intake.discovered import unstorable

    parameters: dict[str, Any] = {}
    for each in given or []:
        name, found, value = each.partition("=")
        if not found:
            raise typer.BadParameter(f"--param is {each!r}; write NAME=VALUE")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    if problem := unstorable(parameters):
        raise typer.BadParameter(f"--param: {problem}")
    return parameters


def tried(
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
