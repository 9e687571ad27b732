"""`python main.py dead-letters …`: the messages that were refused, and why."""

from typing import Annotated, Any

import typer

from config import Settings, load_settings
from services.commands.output import AsJson, print_json, print_line, print_table

PAYLOAD_SHOWN = 200
MOST = 20_000  # the stream is kept at about half of that
COLUMNS = ("at", "source", "reason", "payload")

dead_letters = typer.Typer(help="Look at the messages that were refused.", no_args_is_help=True)


@dead_letters.callback()
def group() -> None:
    """Look at the messages that were refused."""


@dead_letters.command("list")
def list_dead_letters(
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the newest dead letters, newest first; --json shows payloads whole, as far as they are kept."""
    letters = newest(load_settings(), limit)
    if as_json:
        print_json(letters)
    elif letters:
        print_table(COLUMNS, ([_cut(letter[column]) for column in COLUMNS] for letter in letters))
    else:
        print_line("no dead letters")


def newest(settings: Settings, limit: int) -> list[dict[str, str]]:
    r"""Return the newest dead letters, newest first; bytes that are not UTF-8 are shown as `\xff`."""
    from services.commands.peers import redis_of
    from services.dead_letters import STREAM

    with redis_of(settings) as client:
        entries: Any = client.xrevrange(STREAM, count=limit)
    return [
        {"id": _text(entry), **{column: _text(fields.get(column.encode(), b"")) for column in COLUMNS}}
        for entry, fields in entries
    ]


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")


def _cut(text: str) -> str:
    return text if len(text) <= PAYLOAD_SHOWN else f"{text[:PAYLOAD_SHOWN]}…"
