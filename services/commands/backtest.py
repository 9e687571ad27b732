"""`python main.py backtest …`: a strategy over the past, from a file of bars."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from config import Settings, load_settings
from models.errors import StrategyRejected
from services.commands.output import AsJson, print_json, print_line, print_table, print_warning
from services.commands.strategies import load

if TYPE_CHECKING:
    from models.market_data import Bar
    from services.history.backtest_run import BacktestRun
    from services.history.bars import BarFile
    from services.history.options import BacktestOptions, RiskRules
    from strategies.base_strategy import BaseStrategy

MOST_PROBLEMS = 10


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
    as_json: AsJson = False,
) -> int:
    """Play a strategy over a file of bars and show what would have become of it.

    Fills are at the open of the next bar. Cash is not lent, nothing is sold that is not held. Several symbols
    share one account. Ends with 1 where the strategy was given up after errors.
    """
    from services.history.bars import read_bars
    from services.history.casting import watched_symbols
    from services.history.options import BacktestOptions

    settings = load_settings()
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
        risk=_risk_rules(settings) if risk else None,
    )
    with parameters_that_fit():
        watched = watched_symbols(strategy_class, options.symbols or (), options.parameters)
        file = read_bars(data, symbols=options.symbols, watched=watched, timeframe=timeframe)
        tell_problems(file)
        played = _play(strategy_class, file.in_order(), options)
    if as_json:
        print_json(played.describe())
    else:
        _show(played)
    for each in played.ended:
        print_warning(f"{each.session_key} was given up at {each.time:%Y-%m-%d %H:%M}: {each.reason}")
    return 1 if played.ended else 0


def find_strategy(settings: Settings, name: str) -> "type[BaseStrategy]":
    """Return the class of this name. Raises BadParameter, saying what could not be loaded, for others."""
    registry, failures = load(settings)
    try:
        return registry.get(name)
    except StrategyRejected as error:
        reasons = "".join(f"; not loaded: {failure.file}: {failure.reason}" for failure in failures)
        raise typer.BadParameter(f"{error}{reasons}", param_hint="--strategy") from None


def parameters_of(strategy_class: "type[BaseStrategy]", given: Sequence[str]) -> Mapping[str, Any]:
    """Read `name=value`, each as its parameter is declared. Raises BadParameter for what does not fit."""
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is no name=value", param_hint="--param")
        values[name.strip()] = read_value(strategy_class, name.strip(), value.strip())
    try:
        strategy_class.parameters.bind(values)
    except StrategyRejected as error:
        raise typer.BadParameter(str(error), param_hint="--param") from None
    return values


def read_value(strategy_class: "type[BaseStrategy]", name: str, text: str) -> bool | float | str:
    """Read a value as the parameter of that name is declared; as text where it cannot be."""
    declared = strategy_class.parameters.declared.get(name)
    if declared is None or declared.kind is str:
        return text
    if declared.kind is bool:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(
            text.lower(), text
        )
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def tell_problems(file: "BarFile") -> None:
    """Name the rows that are no bars, and are left out, on stderr."""
    for problem in file.problems[:MOST_PROBLEMS]:
        print_warning(f"left out: {problem}")
    if len(file.problems) > MOST_PROBLEMS:
        print_warning(f"left out: {len(file.problems) - MOST_PROBLEMS} rows more; see `engine check`")


def _play(
    strategy_class: "type[BaseStrategy]", bars: "Sequence[Bar]", options: "BacktestOptions"
) -> "BacktestRun":
    from services.commands.progress import progress_bar
    from services.history.backtest import run

    with progress_bar("bars", len(bars)) as advance:
        return run(strategy_class, bars, options, advance)


@contextmanager
def parameters_that_fit() -> Iterator[None]:
    """Take a strategy's refusal of its parameters for wrong use of the command."""
    try:
        yield
    except StrategyRejected as error:
        raise typer.BadParameter(str(error), param_hint="--param") from None


def _risk_rules(settings: Settings) -> "RiskRules":
    from datetime import time

    from models.portfolio import decimal_of
    from services.history.options import RiskRules
    from services.risk.assembly import limits_of

    return RiskRules(
        limits=limits_of(settings),
        portfolio_value=decimal_of(settings.risk_portfolio_value),
        day_start=time.fromisoformat(settings.risk_day_start),
        most_per_second=settings.risk_max_orders_per_second,
    )


def _show(played: "BacktestRun") -> None:
    described = played.describe()
    print_table(("what", "value"), ((name, _cell(name, value)) for name, value in described.items()))
    rejected: dict[str, int] = {}
    for report in played.reports:
        if report.reason is not None:
            why = f"{report.status}: {report.reason.partition(':')[0]}"
            rejected[why] = rejected.get(why, 0) + 1
    for why, count in rejected.items():
        print_line(f"{count} × {why}")
    if played.unfilled:
        print_line(f"{played.unfilled} orders found no bar any more")


def _cell(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str | int):
        return None if value is None else str(value)
    if name in {"total_return", "cagr", "max_drawdown", "win_rate", "exposure_time"}:
        return f"{value:.2%}"
    return f"{value:,.2f}"
