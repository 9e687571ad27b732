"""What a batch is told as: JSON for programs, lines for people and for notifications."""

from collections.abc import Iterator
from typing import Any

from msgspec import to_builtins

from services.history.data_checks import LEFT_OUT
from services.history.engine.batch import Summary
from services.history.engine.result_table import Ranked

MOST_FAILURES = 5
NAMES = ("#", "strategy", "symbols", "failed", "signals", "trades")
FIGURES = ("return", "Sharpe", "drawdown", "worst", "hit rate", "profitable")
HEADINGS = NAMES + FIGURES


def described(summary: Summary) -> dict[str, Any]:
    """Return everything about a batch."""
    return {
        "status": summary.status,
        "batch_id": summary.batch_id,
        "symbols": summary.symbols,
        "runs": summary.progress.runs,
        "computed": summary.progress.done,
        "reused": summary.progress.reused,
        "failed": len(summary.failures),
        "seconds": round(summary.seconds, 3),
        "seconds_per_run": summary.seconds_per_run,
        "ranking": to_builtins(summary.ranking),
        "failures": [
            {"strategy": strategy, "symbol": symbol, "reason": reason}
            for strategy, symbol, reason in summary.failures
        ],
        "notes": [
            {"strategy": strategy, "reason": reason, "runs": count}
            for strategy, reason, count in summary.notes
        ],
        "dirty": [
            {"symbol": symbol, "left_out": left_out, "findings": findings}
            for symbol, left_out, findings in summary.dirty
        ],
    }


def headline(summary: Summary) -> str:
    """Say in one line what came of a batch."""
    done = summary.progress
    parts = [
        f"{done.reused + done.done} of {done.runs} runs over {summary.symbols} symbols",
        f"{done.done} computed, {done.reused} were there",
        f"{len(summary.failures)} failed",
        f"{len(summary.dirty)} symbols with faults in their data",
        f"{summary.seconds:.1f} s",
    ]
    per_run = summary.seconds_per_run
    if per_run is not None:
        parts.append(f"{per_run:.4f} s each")
    return f"{summary.status}: {', '.join(parts)}"


def cells(ranked: Ranked) -> tuple[object, ...]:
    """Return a strategy's line of the ranking, under HEADINGS."""
    shares = (ranked.mean_drawdown, ranked.worst_drawdown, ranked.hit_rate, ranked.profitable)
    return (
        ranked.place,
        ranked.strategy,
        ranked.symbols,
        ranked.failed,
        ranked.signals,
        ranked.trades,
        _percent(ranked.mean_return),
        None if ranked.mean_sharpe is None else f"{ranked.mean_sharpe:.2f}",
        *map(_percent, shares),
    )


def lines(summary: Summary) -> Iterator[str]:
    """Give what a notification says: how each strategy did, and the first failures."""
    yield headline(summary)
    for each in summary.ranking:
        figures = zip(FIGURES, cells(each)[len(NAMES) :], strict=True)
        told = ", ".join(f"{name} {figure or 'undefined'}" for name, figure in figures)
        before = "" if each.return_before is None else f", return the time before {each.return_before:.2%}"
        yield f"{each.place}. {each.strategy}: {told}{before}"
    for strategy, symbol, reason in summary.failures[:MOST_FAILURES]:
        yield f"failed: {strategy} on {symbol}: {reason}"


def faults(summary: Summary, most: int) -> Iterator[str]:
    """Give the symbols with faults in their data, the runs that failed, and how it went as a whole."""
    for symbol, left_out, findings in sorted(summary.dirty, key=_tame)[:most]:
        told = ", ".join(f"{each['count']} × {each['kind']}" for each in findings)
        yield f"{symbol}: {told}" + (f"; {left_out} rows left out" if left_out else "")
    if len(summary.dirty) > most:
        yield f"… and {len(summary.dirty) - most} more symbols with faults: `engine check` names them all"
    for strategy, symbol, reason in summary.failures[:most]:
        yield f"failed: {strategy} on {symbol}: {reason}"
    if len(summary.failures) > most:
        yield f"… and {len(summary.failures) - most} more failures, in backtest_runs"
    for strategy, note, count in summary.notes[:most]:
        yield f"{strategy}, {count} runs: {note}"
    yield headline(summary)


def _tame(dirty: tuple[str, int, list[dict[str, Any]]]) -> tuple[bool, int]:
    """Put first what was not left out, and so was traded; then where most was left out."""
    _, left_out, findings = dirty
    return all(each["kind"] in LEFT_OUT for each in findings), -left_out


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.2%}"
