"""`python main.py demo`: the whole system on this machine, with real prices and a proof at the end."""

import json
import math
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from services.commands.output import print_line

if TYPE_CHECKING:
    from services.demo.run import Ending

FOLDER = Path("var/demo")
FASTEST = "max"
WIDTH_OF_FILES = 120  # a log or a pipe has no width of its own


def demo(
    speed: Annotated[
        str, typer.Option(help="Bars a second, or max. The trades are the same at every speed.")
    ] = "500",
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day to play, for a shorter demo.")
    ] = None,
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Leave everything up at the end, until Ctrl-C.")
    ] = False,
    json_wanted: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout; progress goes to stderr.")
    ] = False,
    report: Annotated[Path, typer.Option(help="Where the HTML report goes.")] = FOLDER / "report.html",
    prices: Annotated[
        Path | None, typer.Option(help="Only write its prices to this CSV, to try backtests on.")
    ] = None,
) -> None:
    """See it work: Valkey, PostgreSQL, the paper gateway and a worker play 13 years of prices to 22 sessions.

    Ends with a row per session, the check that no signal was lost, and an HTML report.
    """
    from services.demo.closing import show_outcome
    from services.demo.failure import DemoFailed
    from services.demo.run import Demo, DemoOptions
    from services.demo.screen import Screen
    from services.telemetry.logs import configure_logging

    if prices is not None:
        _write(prices)
        return
    configure_logging("WARNING", "console")
    screen = Screen(_console(stderr=json_wanted))

    def finish(ending: "Ending") -> None:
        if json_wanted:
            document = ending.outcome.describe() | {
                "report": str(ending.report.resolve()),
                "seconds": round(ending.seconds, 3),
            }
            typer.echo(json.dumps(document, indent=2))
            return
        show_outcome(screen, ending.outcome)
        screen.step(f"report: {ending.report.resolve()} ({ending.seconds:.1f} s until here)")

    options = DemoOptions(
        folder=FOLDER,
        report=report,
        speed=_bars_per_second(speed),
        until=until.date() if until else None,
        keep_running=keep_running,
    )
    try:
        outcome = Demo(options, screen, finish).run()
    except DemoFailed as error:
        if error.tail:
            screen.console.print(error.tail, markup=False, highlight=False, style="dim", soft_wrap=True)
        raise
    if not outcome.holds:
        raise typer.Exit(1)


def _write(path: Path) -> None:
    from services.demo.sample_data import load_sample_data, write_prices

    bars = load_sample_data().bars
    write_prices(bars, path)
    print_line(f"{len(bars):,} daily bars of {len({bar.symbol for bar in bars})} stocks are in {path}")


def _bars_per_second(given: str) -> float | None:
    if given == FASTEST:
        return None
    try:
        speed = float(given)
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise typer.BadParameter(f"{given!r} is neither a number of bars a second nor {FASTEST}")
    return speed


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=WIDTH_OF_FILES)
