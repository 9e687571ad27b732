"""`python main.py backtest …`: a strategy over the past, from a file of bars."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from config import load_settings
from services.commands.backtest_input import (
    find_strategy,
    parameters_of,
    parameters_that_fit,
    read_value,
    risk_rules,
    tell_problems,
)
from services.commands.backtest_page import best_work, write_page
from services.commands.backtest_search import (
    Search,
    cell,
    check_lookahead,
    search,
    show_search,
    warn_of,
)
from services.commands.output import AsJson, print_json, print_line, print_table
from services.commands.progress import progress_bar

if TYPE_CHECKING:
    from services.history.backtest_run import BacktestRun
    from services.history.sweep_workers import Work

MOST_NAMED = 8


def backtest(
    strategy: Annotated[str, typer.Option(help="Its name, as `strategies list` shows it.")],
    data: Annotated[Path, typer.Option(help="CSV, CSV.gz or Parquet: symbol, timestamp|date, OHLC, volume.")],
    symbol: Annotated[
        list[str] | None, typer.Option(help="Only this symbol; may be given more than once.")
    ] = None,
    param: Annotated[list[str] | None, typer.Option(help="A parameter, as name=value.")] = None,
    cash: Annotated[float, typer.Option(help="What the account begins with.")] = 100_000.0,
    fee_bps: Annotated[float, typer.Option(help="Fee on the value of every fill, in basis points.")] = 0.0,
    slippage_bps: Annotated[float, typer.Option(help="How much worse every fill is, in basis points.")] = 0.0,
    fill: Annotated[
        Literal["next-open", "close"], typer.Option(help="Where a signal on a bar is filled.")
    ] = "next-open",
    volume_share: Annotated[
        float | None, typer.Option(help="The part of a bar's volume that an order may take, above 0 to 1.")
    ] = None,
    start: Annotated[
        datetime | None, typer.Option(help="The first bar that counts; those before warm up.")
    ] = None,
    timeframe: Annotated[str | None, typer.Option(help="Of the bars; by default what most keep.")] = None,
    risk: Annotated[bool, typer.Option("--risk", help="Check every signal by the RISK_… settings.")] = False,
    sweep: Annotated[
        list[str] | None, typer.Option(help="Try a parameter's values: fast=5:50:5 or fast=5,10,20.")
    ] = None,
    random: Annotated[
        int | None, typer.Option(min=1, help="Of a sweep, only so many combinations, by chance.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of that chance.")] = 0,
    objective: Annotated[str, typer.Option(help="The statistic that a sweep is ranked by.")] = "sharpe_ratio",
    walk: Annotated[
        int | None,
        typer.Option("--walk-forward", min=1, max=100, help="Play the best in so many next stretches."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that share a sweep.")] = 1,
    lookahead: Annotated[
        bool, typer.Option("--lookahead-check", help="Play truncated data and show each signal that changes.")
    ] = False,
    cuts: Annotated[int, typer.Option(min=1, max=1000, help="In how many places that is cut off.")] = 10,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with charts; it needs no network.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Play a strategy over a file of bars and show what would have become of it.

    Fills are at the open of the next bar. Cash is not lent, nothing is sold that is not held. Several symbols
    share one account. Ends with 1 where the strategy was given up after errors.
    """
    from services.history.bars import read_bars
    from services.history.casting import watched_symbols
    from services.history.options import BacktestOptions
    from services.history.sweep import Axis
    from services.history.sweep_workers import Work
    from services.page.document import find_plotly
    from services.telemetry.logs import configure_logging

    settings = load_settings()
    # What a strategy logs goes to stderr; of many runs nobody wants to read the same lines many times.
    configure_logging("CRITICAL" if lookahead or sweep else settings.log_level, "console")
    if report is not None:
        find_plotly()  # before the work, not after it
    strategy_class = find_strategy(settings, strategy)
    options = BacktestOptions(
        parameters=parameters_of(strategy_class, param or ()),
        cash=cash,
        fill=fill,
        fee_bps=fee_bps,
        slippage_bps=slippage_bps,
        volume_share=volume_share,
        symbols=tuple(dict.fromkeys(symbol)) if symbol else None,
        start=start and start.replace(tzinfo=start.tzinfo or UTC),
        risk=risk_rules(settings) if risk else None,
        call_seconds=settings.handler_deadline_max_ms / 1000,
    )
    axes = [
        Axis.read(text, lambda name, value: read_value(strategy_class, name, value)) for text in sweep or ()
    ]
    if walk and not axes:
        raise typer.BadParameter(
            "walking forward needs a --sweep to choose from", param_hint="--walk-forward"
        )
    with parameters_that_fit():
        parameters_of(strategy_class, [f"{axis.name}={axis.values[0]}" for axis in axes])
        watched = watched_symbols(
            strategy_class, options.symbols or (), options.parameters, options.call_seconds
        )
        file = read_bars(data, symbols=options.symbols, watched=watched, timeframe=timeframe)
        tell_problems(file)
        work = Work(strategy_class, file.in_order(), options)
        if lookahead:
            return check_lookahead(work, cuts, as_json=as_json)
        if axes:
            asked = Search(axes, random, seed, objective, walk, workers, settings.strategies_path)
            found = search(work, asked)
            if report is not None and found.best is not None:
                write_page(report, _play(best_work(work, found.best)), file, (asked, found))
            return show_search(work, asked, found, as_json=as_json)
        played = _play(work)
    if report is not None:
        write_page(report, played, file)
    return _tell(played, as_json=as_json)


def _play(work: "Work") -> "BacktestRun":
    from services.history.backtest import run

    with progress_bar("bars", len(work.events)) as advance:
        return run(*work, advance)


def _tell(played: "BacktestRun", *, as_json: bool) -> int:
    if as_json:
        print_json(played.describe())
    else:
        _show(played)
    warn_of(played.ended)
    return 1 if played.ended else 0


def _show(played: "BacktestRun") -> None:
    described = played.describe()
    if len(played.symbols) > MOST_NAMED:
        described["symbol"] = f"{len(played.symbols)} symbols"
    print_table(("what", "value"), ((name, cell(name, value)) for name, value in described.items()))
    rejected: dict[str, int] = {}
    for report in played.reports:
        if report.reason is not None:
            why = f"{report.status}: {report.reason.partition(':')[0]}"
            rejected[why] = rejected.get(why, 0) + 1
    for why, count in rejected.items():
        print_line(f"{count} × {why}")
    if played.unfilled:
        print_line(f"{played.unfilled} orders found no bar any more")
