"""The report of a backtest: one HTML file that loads nothing from anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from models.market_data import Bar
from services.history.backtest_run import BacktestRun
from services.history.bars import hash_of
from services.history.report_series import Candles, drawn_equity, years
from services.history.round_trips import RoundTrip
from services.history.statistics import rolling_sharpe, sample
from services.history.sweep import Axis, Trial, heat
from services.history.walk_forward import Fold, chained_return
from services.page.document import render
from services.state_source import source_hash

FOLDER = Path(__file__).parent
MOST_TRADES = 5_000
DAY = "%Y-%m-%d"
MINUTE = "%Y-%m-%d %H:%M"


@dataclass(frozen=True)
class SweepShown:
    """What a report shows of the sweep whose best run it is of."""

    axes: Sequence[Axis]
    trials: Sequence[Trial]
    folds: Sequence[Fold]
    best: Trial
    objective: str


def write_report(
    path: Path, played: BacktestRun, made: datetime, *, problems: int = 0, sweep: SweepShown | None = None
) -> None:
    """Write the page, making its folder. `problems` counts the rows of the file that are no bars.

    Raises ConfigError when plotly is not installed, OSError where the file cannot be written.
    """
    text = render(FOLDER / "report.html", FOLDER / "report.js", describe(played, made, problems, sweep))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def describe(played: BacktestRun, made: datetime, problems: int, sweep: SweepShown | None) -> dict[str, Any]:
    """Return everything that the page shows, as JSON."""
    _, periods = sample(played.equity, is_crypto=played.is_crypto)
    bars = [event for event in played.traded if isinstance(event, Bar)]
    is_daily = all(bar.timestamp.hour == bar.timestamp.minute == 0 for bar in (*bars[:9], *bars[-9:]))
    form = DAY if is_daily else MINUTE
    candles = {symbol: Candles.of(bars, symbol, form) for symbol in played.symbols}
    trades = [*played.trades, *played.holdings]
    return {
        "strategy": played.strategy.name,
        "first": f"{played.equity.times[0]:{form}}",
        "last": f"{played.equity.times[-1]:{form}}",
        "timeframe": bars[0].timeframe if bars else "",
        "daily": is_daily,
        "made": f"{made:%Y-%m-%d at %H:%M UTC}",
        "bars": len(bars),
        "cash": played.options.cash,
        "signals": len(played.signals),
        "fills_count": len(played.fills),
        "rejected": sum(1 for report in played.reports if not report.executed),
        "seconds": played.seconds,
        "statistics": asdict(played.statistics),
        "warnings": _warnings(played, problems),
        "facts": [*_rules(played, periods), *_origin(played, bars)],
        "prices": {symbol: each.columns for symbol, each in candles.items()},
        "fills": {symbol: each.fills(played.fills) for symbol, each in candles.items()},
        "equity": drawn_equity(played.equity, form),
        "rolling": _rolling(played),
        "years": years(played.equity),
        "trades": [_trade(trip, candles, form) for trip in trades[-MOST_TRADES:]],
        "trades_left_out": max(0, len(trades) - MOST_TRADES),
        "sweep": None if sweep is None else _sweep(sweep),
        "walk": None if sweep is None or not sweep.folds else _walk(sweep),
    }


def _warnings(played: BacktestRun, problems: int) -> list[str]:
    found = [
        f"{each.session_key} was given up at {each.time:{MINUTE}}: {each.reason}" for each in played.ended
    ]
    if problems:
        found.append(f"{problems} rows of the file are no bars and were left out; `engine check` names them")
    return found


def _rules(played: BacktestRun, periods: float) -> list[tuple[str, str]]:
    options = played.options
    share = "all at once" if options.volume_share is None else f"{options.volume_share:.1%} of a bar's volume"
    given = ", ".join(f"{name} = {value}" for name, value in played.parameters.items())
    return [
        ("Parameters", given or "none"),
        (
            "Fills",
            "at the open of the next bar" if options.fill == "next-open" else "at the close of the bar",
        ),
        ("Costs", f"fee {options.fee_bps:g} bps, slippage {options.slippage_bps:g} bps"),
        ("Volume", share),
        ("Cash", "not lent; nothing is sold that is not held"),
        ("Risk checks", "on" if options.risk else "off"),
        (
            "First bar",
            "that of the data" if options.start is None else f"{options.start:{MINUTE}}, warmed up before",
        ),
        ("A year", f"{periods:g} returns"),
    ]


def _origin(played: BacktestRun, bars: Sequence[Bar]) -> list[tuple[str, str]]:
    return [
        ("Symbols", ", ".join(played.symbols)),
        ("Hash of the data", hash_of(bars)),
        ("Hash of the code", source_hash(played.strategy)),
    ]


def _rolling(played: BacktestRun) -> dict[str, list[Any]]:
    line = rolling_sharpe(played.equity, is_crypto=played.is_crypto)
    stride = max(1, len(line) // 2_000)
    return {
        "date": [f"{time:{DAY}}" for time, _ in line[::stride]],
        "value": [None if value is None else round(value, 4) for _, value in line[::stride]],
    }


def _trade(trip: RoundTrip, candles: dict[str, Candles], form: str) -> dict[str, Any]:
    return {
        "symbol": trip.symbol,
        "bar": candles[trip.symbol].place(trip.entry_time),
        "entry": f"{trip.entry_time:{form}}",
        "entry_price": trip.entry_price,
        "exit": None if trip.exit_time is None else f"{trip.exit_time:{form}}",
        "exit_price": trip.exit_price,
        "quantity": trip.quantity,
        "fees": trip.fees,
        "profit": trip.profit,
        "share": trip.share,
        "seconds": trip.seconds,
    }


def _sweep(shown: SweepShown) -> dict[str, Any]:
    across, down, cells = heat(shown.trials, shown.axes, shown.objective)
    return {
        "objective": shown.objective,
        "runs": len(shown.trials),
        "best": dict(shown.best.parameters),
        "across": asdict(across),
        "down": None if down is None else asdict(down),
        "cells": cells,
    }


def _walk(shown: SweepShown) -> dict[str, Any]:
    return {
        "objective": shown.objective,
        "total_return": chained_return(shown.folds),
        "folds": [_fold(fold, shown.objective) for fold in shown.folds],
    }


def _fold(fold: Fold, objective: str) -> dict[str, Any]:
    best, tried = fold.best, fold.tried
    parameters = {} if best is None else best.parameters
    statistics = None if tried is None else tried.statistics
    return {
        "span": f"{fold.tried_from:{DAY}} – {fold.tried_until:{DAY}}",
        "parameters": ", ".join(f"{name} = {value}" for name, value in parameters.items()) or "–",
        "chosen": None if best is None else best.score(objective),
        "played": None if tried is None else tried.score(objective),
        "total_return": None if statistics is None else statistics.total_return,
    }
