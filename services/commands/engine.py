"""`python main.py engine …`: strategies × universe over history."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.commands.engine_run import Calendar, Data, Repairs, Timeframe, make_run, make_schedule
from services.commands.output import AsJson, print_json, print_line, print_table
from services.stop_signal import StopSignal

if TYPE_CHECKING:
    from services.history.data_checks import Review
    from services.history.engine.universe import SymbolSlice, Universe


def make_engine(stop: StopSignal) -> typer.Typer:
    """Return the verbs; SIGTERM ends `run` and `schedule` in order, and `check` at once."""
    verbs = typer.Typer(help="Run strategies over a universe of symbols.", no_args_is_help=True)

    @verbs.callback()
    def ended_in_order(context: typer.Context) -> None:
        if context.invoked_subcommand == "check":
            stop.release()

    verbs.command()(check)
    verbs.command("run")(make_run(stop))
    verbs.command("schedule")(make_schedule(stop))
    return verbs


def check(
    data: Data,
    repair: Repairs = None,
    calendar: Calendar = None,
    timeframe: Timeframe = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 where anything is found.")] = False,
    as_json: AsJson = False,
) -> int:
    """Look for what is wrong with a file of bars, symbol by symbol; with --repair, for what is left of it.

    The file itself is never changed. Rows that the live worker would refuse are left out of every run; the
    rest is reported for a person to look at.
    """
    from services.history.data_checks import review
    from services.history.engine.universe import Universe
    from services.history.exchange import ExchangeCalendar
    from services.history.repairs import check_rules
    from services.history.repairs import repair as mend

    rules = repair or []
    check_rules(rules)
    days = ExchangeCalendar(calendar).days if calendar else None
    with Universe.read(data, timeframe=timeframe) as universe:
        looked_at = []
        for each in universe:
            rows, repaired = mend(each.read(universe.path), rules)
            looked_at.append((each, review(rows, days), repaired))
        dirty = [each for each in looked_at if each[1].findings or each[2]]
        if as_json:
            print_json(
                {
                    "symbols": len(looked_at),
                    "dirty": [_described(*each) for each in dirty],
                    "data_hash": universe.data_hash,
                }
            )
        else:
            _show(universe, dirty)
    return 1 if strict and any(found.findings for _, found, _ in looked_at) else 0


def _show(universe: "Universe", dirty: list[tuple["SymbolSlice", "Review", dict[str, int]]]) -> None:
    if dirty:
        headings = ("symbol", "rows", "left out", "found", "examples")
        print_table(headings, (line for each in dirty for line in _lines(*each)))
    rows = sum(each.size for each in universe)
    print_line(f"{len(universe.slices)} symbols, {rows} rows: {len(dirty) or 'none'} to look at")


def _lines(each: "SymbolSlice", found: "Review", repaired: dict[str, int]) -> Iterator[tuple[object, ...]]:
    for finding in found.findings:
        left_out = finding.count if finding.leaves_out else 0
        what = f"{finding.count} × {finding.kind}"
        yield each.symbol, each.size, left_out, what, ", ".join(finding.examples)
    for rule, count in repaired.items():
        yield each.symbol, each.size, 0, f"{count} repaired", rule


def _described(each: "SymbolSlice", found: "Review", repaired: dict[str, int]) -> dict[str, Any]:
    return {
        "symbol": each.symbol,
        "rows": each.size,
        "left_out": found.left_out,
        "findings": [
            {"kind": finding.kind.value, "count": finding.count, "examples": list(finding.examples)}
            for finding in found.findings
        ],
        "repaired": repaired,
    }
