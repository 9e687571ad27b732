"""`python -m tests.faults`: break things, print a table, keep the numbers."""

import json
import logging
import secrets
import signal
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console

from tests.faults.experiment import Experiment
from tests.faults.suite import EXPERIMENTS, QUICK, Plan, run_all

WIDTH = 140
RESULTS = Path(__file__).parents[2] / "var" / "faults"


def main(  # noqa: PLR0913 — as many as there are options
    only: Annotated[str, typer.Option(help=f"Which, by commas: {', '.join(EXPERIMENTS)}.")] = "",
    rounds: Annotated[int | None, typer.Option(min=1, max=1_000, help="Rounds of each.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of a run that is to be repeated.")] = None,
    minutes: Annotated[float, typer.Option(min=0.1, max=240, help="How long the soak takes.")] = 20.0,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="The short form, as CI runs it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON instead of the table.")] = False,
) -> None:
    """Break what the worker stands on, count what was lost or doubled, and keep the numbers in var/faults."""
    names = [name for name in only.split(",") if name] or list(QUICK if quick else EXPERIMENTS)
    if unknown := [name for name in names if name not in EXPERIMENTS]:
        raise typer.BadParameter(f"no experiment {unknown[0]!r}; there are {', '.join(EXPERIMENTS)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    # An exit on SIGTERM ends the servers and workers of the run; without it they would be left behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    progress = Console(stderr=True)
    seed = secrets.randbelow(2**32) if seed is None else seed
    progress.print(f"seed {seed}")

    def started(experiment: Experiment) -> None:
        progress.print(f"{experiment.name}: {experiment.promise}", style="dim", highlight=False)

    report = run_all(Plan(names, seed, rounds, quick, minutes), started)
    stored = report.store(RESULTS)
    if as_json:
        Console().print_json(json.dumps(report.describe()))
    else:
        console = Console(highlight=False)
        console = console if console.is_terminal else Console(width=WIDTH, highlight=False)
        console.print(report.table(), *report.remarks(), sep="\n")
    progress.print(f"stored in var/faults/{stored.name}", style="dim")
    if not report.kept:
        raise typer.Exit(1)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
