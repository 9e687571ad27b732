"""How commands print: tables for people, JSON for programs, and never anything that drives a terminal."""

import json
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def shown(text: str) -> str:
    r"""Return text with everything that is not plainly printable as an escape: `\x1b`, `\n`, `\u202e`."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )


def print_json(value: Any) -> None:
    """Print JSON on stdout, all of it ASCII."""
    typer.echo(json.dumps(value, indent=2))


def print_line(text: str) -> None:
    """Print one line on stdout, its text taken as it is."""
    make_console().print(Text(shown(text)))


def print_warning(text: str) -> None:
    """Print one line on stderr, in yellow."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(shown(text), style="yellow"))


def print_table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table on stdout; None is an empty cell."""
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else shown(str(cell))) for cell in row))
    make_console().print(table)


def make_console() -> Console:
    """Return what prints on stdout, as it is now."""
    return Console(highlight=False, soft_wrap=True)
