"""The tables of executions: each step of one is written in one transaction, by one worker at a time.

The worker that writes holds an advisory lock on the very connection that it writes with. So one that lost its
connection cannot write what it still believes: it has to connect, get the lock and read everything again.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg2.extras import execute_batch

from models.errors import StorageUnavailable
from models.execution import ExecutionReport
from models.portfolio_execution import Execution, ExecutionOrder
from services.db_client import Cursor, Database
from services.portfolio.events import ExecutionEvent, encode_positions
from services.portfolio.execution_rows import Row, execution_values, order_values, read_execution
from services.portfolio.position_monitor import Snapshot

EXECUTOR_LOCK = 0x50_4F_52_54_46_4F  # "PORTFO"

LIVE = """
    SELECT * FROM strategy_executions
    WHERE status IN ('active', 'paused', 'error') AND NOT execution_id = ANY(%s::uuid[]) ORDER BY started_at
"""
ORDERS = "SELECT * FROM execution_orders WHERE execution_id = ANY(%s::uuid[]) ORDER BY number"
UPDATE = """
    UPDATE strategy_executions
    SET status = %(status)s, reason = %(reason)s, state = %(state)s, positions = %(positions)s,
        total_pnl = %(total_pnl)s, realized_pnl = %(realized_pnl)s, unrealized_pnl = %(unrealized_pnl)s,
        fees = %(fees)s, total_trades = %(total_trades)s, winning_trades = %(winning_trades)s,
        losing_trades = %(losing_trades)s, total_exposure = %(total_exposure)s, daily_pnl = %(daily_pnl)s,
        stopped_at = %(stopped_at)s, last_rebalanced_at = %(last_rebalanced_at)s,
        last_checked_at = %(last_checked_at)s
    WHERE execution_id = %(execution_id)s
"""
ORDER = """
    INSERT INTO execution_orders
        (order_id, execution_id, cycle, ordinal, oms_order_id, symbol, side, order_type, quantity, price,
         filled_quantity, filled_price, fee, status, error_message, reason, decided_at, submitted_at,
         filled_at, cancelled_at, fill_number)
    VALUES (%(order_id)s, %(execution_id)s, %(cycle)s, %(ordinal)s, %(oms_order_id)s, %(symbol)s, %(side)s,
            %(order_type)s, %(quantity)s, %(price)s, %(filled_quantity)s, %(filled_price)s, %(fee)s,
            %(status)s, %(error_message)s, %(reason)s, %(decided_at)s, %(submitted_at)s, %(filled_at)s,
            %(cancelled_at)s, %(fill_number)s)
    ON CONFLICT (order_id) DO UPDATE
    SET oms_order_id = EXCLUDED.oms_order_id, filled_quantity = EXCLUDED.filled_quantity,
        filled_price = EXCLUDED.filled_price, fee = EXCLUDED.fee, status = EXCLUDED.status,
        error_message = EXCLUDED.error_message, filled_at = EXCLUDED.filled_at,
        cancelled_at = EXCLUDED.cancelled_at, fill_number = EXCLUDED.fill_number
"""
SNAPSHOT = """
    INSERT INTO position_snapshots
        (execution_id, positions, cash, total_value, total_pnl, unrealized_pnl, snapshot_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
EVENT = """
    INSERT INTO execution_events (event_id, execution_id, topic, payload) VALUES (%s, %s, %s, %s)
    ON CONFLICT (event_id) DO NOTHING
"""
# A row of the outbox is there before its request: an order without one was never sent.
SIGNALS = "SELECT signal_id, status, report FROM signals WHERE signal_id = ANY(%s)"
UNFINISHED = {"pending", "sending"}


class ExecutedElsewhere(StorageUnavailable):
    """Another worker executes the portfolios, until it ends or loses its connection."""


class ExecutionTable:
    """Reads and writes executions. For one thread; `database` is its own, of one connection.

    Methods raise StorageUnavailable, also while another worker holds the lock; after a lost connection only
    `live` connects again, because what was read before may be out of date. StorageConflict is for what the
    tables refuse.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: object = None

    def live(self, now: datetime, known: Sequence[str] = ()) -> list[Execution]:
        """Return every execution that has not ended and is not known, the oldest first."""
        with self._transaction(reads_all=not known) as cursor:
            cursor.execute(LIVE, (list(known),))
            executions = _rows(cursor)
            cursor.execute(ORDERS, ([row["execution_id"] for row in executions],))
            orders = _rows(cursor)
        return [
            read_execution(row, [each for each in orders if each["execution_id"] == row["execution_id"]], now)
            for row in executions
        ]

    def save(
        self,
        snapshot: Snapshot,
        orders: Iterable[ExecutionOrder] = (),
        events: Iterable[ExecutionEvent] = (),
        *,
        keep: bool = False,
    ) -> None:
        """Write an execution with the orders that were made or changed and what is to be told, or nothing.

        With `keep` the snapshot itself gets a row too.
        """
        with self._transaction() as cursor:
            cursor.execute(UPDATE, execution_values(snapshot))
            execute_batch(cursor, ORDER, [order_values(order) for order in orders])
            write_events(cursor, events)
            if keep:
                cursor.execute(SNAPSHOT, _snapshot_values(snapshot))

    def outcomes(self, order_ids: Sequence[UUID]) -> dict[str, ExecutionReport | None]:
        """Return what the outbox knows of orders: the report of one that ended, None for one on its way."""
        with self._transaction() as cursor:
            cursor.execute(SIGNALS, ([str(each) for each in order_ids],))
            found = cursor.fetchall()
        return {
            signal_id: None if status in UNFINISHED else msgspec.convert(report, ExecutionReport)
            for signal_id, status, report in found
        }

    def close(self) -> None:
        """Give up the lock."""
        self._database.close()

    @contextmanager
    def _transaction(self, *, reads_all: bool = False) -> Iterator[Cursor]:
        with self._database.transaction() as cursor:
            if cursor.connection is not self._connection:
                if not reads_all:
                    raise StorageUnavailable("the connection was lost: executions must be read again")
                cursor.execute("SELECT pg_try_advisory_lock(%s)", (EXECUTOR_LOCK,))
                if cursor.fetchone() != (True,):
                    raise ExecutedElsewhere("another worker executes the portfolios of this database")
                self._connection = cursor.connection
            yield cursor


def write_events(cursor: Cursor, events: Iterable[ExecutionEvent]) -> None:
    """Write what is to be published, in the transaction of what it tells of."""
    for event in events:
        owner = None if event.execution_id is None else str(event.execution_id)
        cursor.execute(EVENT, (str(event.event_id), owner, event.topic, event.payload))


def _snapshot_values(snapshot: Snapshot) -> tuple[Any, ...]:
    execution, value = snapshot.execution, snapshot.value
    return (
        str(execution.execution_id),
        encode_positions(value),
        execution.ledger.cash,
        value.equity,
        value.total_pnl,
        value.unrealised_pnl,
        snapshot.at,
    )


def _rows(cursor: Cursor) -> list[Row]:
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
