"""One strategy over one symbol's bars: the backtest, and its result as the tables take it."""

import json
from collections.abc import Iterable
from math import isfinite
from time import perf_counter

from msgspec.structs import asdict

from models.session import SessionState
from models.signal import Signal
from services.history.backtest import run
from services.history.casting import watched_symbols
from services.history.engine.library import Library, Shelf
from services.history.engine.plan import EngineOptions, RunPlan
from services.history.engine.result import RunResult
from services.history.engine.result_table import copy_line
from services.history.options import BacktestOptions
from strategies.base_strategy import BaseStrategy

NOT_THERE = "it watches symbols that there are no bars of"


def run_one(
    cls: type[BaseStrategy], plan: RunPlan, shelf: Shelf, library: Library, options: EngineOptions
) -> RunResult:
    """Run a backtest. Raises whatever the strategy raises when it is made or started."""
    begin = perf_counter()
    symbol, parameters = shelf.report.symbol, plan.strategy.parameters
    asked = watched_symbols(cls, [symbol], parameters, options.call_seconds) if plan.strategy.watches else ()
    watched = sorted(asked)
    rules = BacktestOptions(
        parameters=parameters,
        cash=options.cash,
        fill=options.fill,
        fee_bps=options.fee_bps,
        slippage_bps=options.slippage_bps,
        symbols=(symbol,),
        call_seconds=options.call_seconds,
    )
    outcome = run(cls, library.together(shelf.bars, watched), rules)
    ended = outcome.ended[0] if outcome.ended else None
    reason = None if ended is None else ended.reason
    missing = library.missing(watched)
    return RunResult(
        run_id=plan.run_id,
        data_hash=plan.data_hash,
        strategy=plan.strategy.name,
        report=shelf.report,
        status="done" if reason is None else "failed",
        reason=f"{NOT_THERE}: {', '.join(missing)}" if missing and reason is None else reason,
        hung=ended is not None and ended.state == SessionState.QUARANTINED,
        signals=len(outcome.signals),
        statistics={name: _finite(value) for name, value in asdict(outcome.statistics).items()},
        signal_lines=signal_lines(plan.run_id, outcome.signals),
        seconds=perf_counter() - begin,
    )


def signal_lines(run_id: str, signals: Iterable[Signal]) -> str:
    """Return signals as COPY takes them."""
    return "".join(
        copy_line(
            (
                run_id,
                number,
                each.signal_id,
                each.action,
                each.price,
                each.quantity,
                each.confidence,
                each.timestamp.isoformat(),
                json.dumps(each.metadata),
            )
        )
        for number, each in enumerate(signals)
    )


def _finite(value: object) -> object:
    """Return a figure as JSON has it: one that is no finite number is undefined."""
    return None if isinstance(value, float) and not isfinite(value) else value
