"""`python -m benchmarks`: measure, print a table, keep the numbers."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console

from benchmarks.effort import QUICK, Effort
from benchmarks.rows import MeasurementError
from benchmarks.suite import BENCHMARKS, measure

RESULTS = Path(__file__).parent.parent / "var" / "bench"


def main(
    rows: Annotated[str, typer.Option(help=f"Which, by commas: {', '.join(BENCHMARKS)}.")] = "",
    rounds: Annotated[int | None, typer.Option(min=1, max=50, help="Rounds of each comparison.")] = None,
    events: Annotated[
        int | None, typer.Option(min=100, max=1_000_000, help="Bars per side and round; memory takes 100 ×.")
    ] = None,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Seconds instead of minutes; proves no speed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON instead of the table.")] = False,
) -> None:
    """Measure the worker beside bare loops, print the ratios, and keep them in var/bench."""
    names = [name for name in rows.split(",") if name] or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        raise typer.BadParameter(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    effort = QUICK if quick else Effort()
    effort = replace(effort, rounds=rounds or effort.rounds)
    if events is not None:
        effort = replace(effort, events=events, lasting_events=100 * events)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    progress = Console(stderr=True)
    try:
        report = measure(names, effort, lambda name: progress.print(f"measuring {name} …", style="dim"))
    except MeasurementError as error:
        progress.print(f"the numbers would mean nothing: {error}", style="bold red")
        raise typer.Exit(1) from None
    stored = report.store(RESULTS)
    if as_json:
        Console().print_json(json.dumps(report.describe()))
    else:
        Console().print(report.table())
    progress.print(f"stored in var/bench/{stored.name}", style="dim")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
