"""Results in PostgreSQL: written by COPY, and found again by whoever would compute the same."""

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from services.db_client import Cursor, Database
from services.history.engine.plan import EngineOptions, StrategyPlan
from services.history.engine.result import RunResult

LONGEST_SYMBOL = 128
NO_SYMBOL = "(none)"
STATISTICS = ("total_return", "sharpe_ratio", "max_drawdown", "final_equity")
RUN_COLUMNS = (
    "run_id, batch_id, strategy, symbol, parameters, code_hash, data_hash, status, reason, findings, bars, "
    "left_out, signals, trades, winning_trades, total_return, sharpe_ratio, max_drawdown, final_equity, "
    "statistics, seconds, finished_at"
)
SIGNAL_COLUMNS = "run_id, number, signal_id, action, price, quantity, confidence, given_at, metadata"
COPY_RUNS = f"COPY backtest_runs ({RUN_COLUMNS}) FROM STDIN"
COPY_SIGNALS = f"COPY backtest_signals ({SIGNAL_COLUMNS}) FROM STDIN"
BEGIN = """
    INSERT INTO backtest_batches
        (batch_id, strategies, symbols, data_file, data_hash, options, started_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (batch_id) DO UPDATE
    SET status = 'running', finished_at = NULL, data_file = EXCLUDED.data_file
"""
REUSE = """
    UPDATE backtest_runs SET batch_id = %s
    WHERE run_id = ANY (%s::uuid[]) AND (status = 'done' OR %s)
    RETURNING run_id::text
"""
# Of two engines that compute the same, the later one replaces what the other has written.
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('backtest_runs', 0))"
END = "UPDATE backtest_batches SET status = %s, finished_at = %s WHERE batch_id = %s"
# Means of numeric, not of double precision: the same to the last digit in whatever order rows were written.
PERFORMANCE = """
    INSERT INTO backtest_performance
    SELECT %(batch)s, strategy, row_number() OVER (ORDER BY mean_sharpe DESC NULLS LAST, strategy),
        symbols, failed, signals, trades, mean_return, mean_sharpe, mean_drawdown, worst_drawdown, hit_rate,
        profitable, %(now)s
    FROM (
        SELECT strategy, count(*) AS symbols, count(*) FILTER (WHERE status = 'failed') AS failed,
            sum(signals) AS signals, sum(trades) AS trades,
            avg(total_return::numeric)::double precision AS mean_return,
            avg(sharpe_ratio::numeric)::double precision AS mean_sharpe,
            avg(max_drawdown::numeric)::double precision AS mean_drawdown,
            CASE WHEN min(max_drawdown) < 0 THEN min(max_drawdown) ELSE max(max_drawdown) END
                AS worst_drawdown,
            sum(winning_trades)::double precision / nullif(sum(trades), 0) AS hit_rate,
            (count(*) FILTER (WHERE total_return > 0))::double precision / nullif(count(total_return), 0)
                AS profitable
        FROM backtest_runs WHERE batch_id = %(batch)s GROUP BY strategy
    ) AS figures
"""
RANKING = """
    SELECT place, strategy, symbols, failed, signals, trades, mean_return, mean_sharpe, mean_drawdown,
        worst_drawdown, hit_rate, profitable, (
            SELECT earlier.mean_return FROM backtest_performance AS earlier
            WHERE earlier.strategy = latest.strategy AND earlier.batch_id <> latest.batch_id
            ORDER BY earlier.computed_at DESC LIMIT 1
        )
    FROM backtest_performance AS latest WHERE batch_id = %s ORDER BY place
"""
FAILURES = """
    SELECT strategy, symbol, reason FROM backtest_runs
    WHERE batch_id = %s AND status = 'failed' ORDER BY symbol, strategy
"""
DIRTY = """
    SELECT DISTINCT ON (symbol) symbol, left_out, findings FROM backtest_runs
    WHERE batch_id = %s AND findings <> '[]' ORDER BY symbol, strategy
"""
NOTES = """
    SELECT strategy, reason, count(*) FROM backtest_runs
    WHERE batch_id = %s AND status = 'done' AND reason IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2
"""


class Batch(Struct, frozen=True):
    """One call of the engine, as the table `backtest_batches` has it."""

    batch_id: str
    strategies: tuple[StrategyPlan, ...]
    symbols: int
    data_file: str
    data_hash: str
    options: EngineOptions


class Ranked(Struct, frozen=True):
    """One strategy of a batch over all its symbols; undefined figures are None.

    `return_before` is its mean return in the batch before, over other data or by other rules.
    """

    place: int
    strategy: str
    symbols: int
    failed: int
    signals: int
    trades: int
    mean_return: float | None
    mean_sharpe: float | None
    mean_drawdown: float | None
    worst_drawdown: float | None
    hit_rate: float | None
    profitable: float | None
    return_before: float | None


class ResultTable:
    """The tables of results. Every method is one transaction, and raises StorageError."""

    def __init__(self, database: Database, batch: Batch) -> None:
        self._database = database
        self._batch = batch
        self._plans = {plan.name: plan for plan in batch.strategies}

    def begin(self) -> None:
        """Note that the batch runs, as it may have before."""
        batch, now = self._batch, datetime.now(UTC)
        names, options = [plan.name for plan in batch.strategies], json.dumps(batch.options.describe())
        with self._database.transaction() as cursor:
            cursor.execute(
                BEGIN,
                (batch.batch_id, names, batch.symbols, batch.data_file, batch.data_hash, options, now),
            )

    def reuse(self, run_ids: Sequence[str], *, failed_too: bool) -> set[str]:
        """Make what is there part of this batch; return its ids. Failed runs are tried again, or not."""
        with self._database.transaction() as cursor:
            cursor.execute(REUSE, (self._batch.batch_id, list(run_ids), failed_too))
            return {row[0] for row in cursor.fetchall()}

    def save(self, results: Sequence[RunResult]) -> None:
        """Write results and their signals, in place of those that were under the same ids."""
        now = datetime.now(UTC).isoformat()
        lines = (copy_line(self._run(result, now)) for result in results)
        with self._database.transaction() as cursor:
            cursor.execute(ONE_AT_A_TIME)
            ids = [result.run_id for result in results]
            cursor.execute("DELETE FROM backtest_runs WHERE run_id = ANY (%s::uuid[])", (ids,))
            cursor.copy_expert(COPY_RUNS, io.StringIO("".join(lines)))
            cursor.copy_expert(COPY_SIGNALS, io.StringIO("".join(each.signal_lines for each in results)))

    def end(self, status: str) -> list[Ranked]:
        """Note that the batch ended, and how its strategies did; return their ranking."""
        batch_id, now = self._batch.batch_id, datetime.now(UTC)
        with self._database.transaction() as cursor:
            cursor.execute(ONE_AT_A_TIME)
            cursor.execute("DELETE FROM backtest_performance WHERE batch_id = %s", (batch_id,))
            cursor.execute(PERFORMANCE, {"batch": batch_id, "now": now})
            cursor.execute(END, (status, now, batch_id))
            cursor.execute(RANKING, (batch_id,))
            return [Ranked(*row) for row in cursor.fetchall()]

    def failures(self) -> list[tuple[str, str, str]]:
        """Return strategy, symbol and reason of every run that failed."""
        with self._database.transaction() as cursor:
            return _rows(cursor, FAILURES, self._batch.batch_id)

    def dirty(self) -> list[tuple[str, int, list[dict[str, Any]]]]:
        """Return the symbols in whose rows something was found: rows left out, and what."""
        with self._database.transaction() as cursor:
            return _rows(cursor, DIRTY, self._batch.batch_id)

    def notes(self) -> list[tuple[str, str, int]]:
        """Return what runs had to do without: strategy, what it was, and how many of its runs."""
        with self._database.transaction() as cursor:
            return _rows(cursor, NOTES, self._batch.batch_id)

    def _run(self, result: RunResult, now: str) -> tuple[object, ...]:
        plan, report, statistics = self._plans[result.strategy], result.report, result.statistics
        trades = statistics.get("trades") or 0
        return (
            result.run_id,
            self._batch.batch_id,
            plan.name,
            report.symbol[:LONGEST_SYMBOL] or NO_SYMBOL,
            json.dumps(plan.parameters),
            plan.code_hash,
            result.data_hash,
            result.status,
            result.reason,
            json.dumps(report.findings),
            report.bars,
            report.left_out,
            result.signals,
            trades,
            round((statistics.get("win_rate") or 0.0) * trades),
            *(statistics.get(name) for name in STATISTICS),
            json.dumps(statistics),
            result.seconds,
            now,
        )


def _rows(cursor: Cursor, query: str, batch_id: str) -> list[Any]:
    cursor.execute(query, (batch_id,))
    return list(cursor.fetchall())


def copy_line(fields: Sequence[object]) -> str:
    """Return a row as COPY reads it."""
    return "\t".join(map(copy_field, fields)) + "\n"


def copy_field(value: object) -> str:
    """Return a value as COPY reads it; a NUL, which no text of PostgreSQL holds, is left out."""
    if value is None:
        return r"\N"
    text = repr(value) if isinstance(value, float) else str(value).replace("\0", "")
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
