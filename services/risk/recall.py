"""What the table `signals` knows of plain sessions: what was executed, and what is still on its way."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

import msgspec

from models.execution import ExecutionReport
from models.portfolio import EXACT, ZERO
from models.risk import Order
from services.db_client import Database
from services.risk.account import Books, Lot
from services.risk.saved import SavedBooks

# Older ones nobody looks for any more.
RECENTLY = timedelta(seconds=60)
ONE_MOMENT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
# Signals of portfolio executions have the execution's id as their key: they are in its own books.
OF_SESSIONS = """
    (signal_id = ANY(%(open)s) OR created_at > %(since)s) AND signal_id <> ALL(%(counted)s)
    AND NOT EXISTS (SELECT FROM strategy_executions WHERE execution_id::text = session_key)
"""
EXECUTED = f"""
    SELECT session_key, symbol,
           sum(CASE action WHEN 'BUY' THEN filled ELSE -filled END),
           sum(CASE action WHEN 'BUY' THEN -filled * price ELSE filled * price END - fee),
           (array_agg(price ORDER BY number DESC))[1],
           coalesce(array_agg(signal_id) FILTER (WHERE created_at > %(recently)s), '{{}}')
    FROM (SELECT signal_id, created_at, session_key, symbol, action, number,
                 coalesce((report ->> 'filled_quantity')::numeric, 0) AS filled,
                 coalesce((report ->> 'filled_price')::numeric, price) AS price,
                 coalesce((report ->> 'fee')::numeric, 0) AS fee
          FROM signals WHERE status = 'executed' AND {OF_SESSIONS}) AS fills
    GROUP BY session_key, symbol
"""  # noqa: S608 — put together from constants
IN_FLIGHT = f"""
    SELECT signal_id, session_key, symbol, action, quantity, price FROM signals
    WHERE status IN ('pending', 'sending', 'unknown') AND {OF_SESSIONS}
"""  # noqa: S608 — put together from constants
RECENT = f"""
    SELECT signal_id, session_key, symbol, action, quantity, price, report FROM signals
    WHERE status IN ('pending', 'sending', 'unknown', 'executed') AND {OF_SESSIONS}
"""  # noqa: S608 — put together from constants
ENDED = """
    SELECT signal_id, status, report FROM signals WHERE signal_id = ANY(%s)
"""
OPEN_STATUSES = {"pending", "sending", "unknown"}


class SignalRecall:
    """Reads signals. Methods raise StorageUnavailable, and ConfigError where a table is missing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def carry_on(self, saved: SavedBooks, saved_at: datetime) -> Books:
        """Return the books of plain sessions now, from what they were when they were saved."""
        parameters = {
            "open": list(saved.open_orders),
            "since": saved_at,
            "counted": list(saved.counted),
            "recently": datetime.now(UTC) - RECENTLY,
        }
        with self._database.transaction() as cursor:
            cursor.execute(ONE_MOMENT)
            cursor.execute(EXECUTED, parameters)
            executed = cursor.fetchall()
            cursor.execute(IN_FLIGHT, parameters)
            in_flight = cursor.fetchall()
        held: dict[Lot, Decimal] = saved.lots
        cash, prices, counted = saved.cash, dict(saved.prices), [*saved.counted]
        with localcontext(EXACT):
            for owner, symbol, quantity, earned, price, recent in executed:
                counted += recent
                held[owner, symbol] = held.get((owner, symbol), ZERO) + quantity
                cash += earned
                prices[symbol] = price
        orders = tuple(_orders(in_flight))
        return Books(cash=cash, held=held, prices=prices, in_flight=orders, ended=tuple(counted))

    def recent(self, known: Collection[str], since: datetime) -> list[tuple[Order, ExecutionReport | None]]:
        """Return the signals that were decided since and are not known, with the reports of the executed."""
        with self._database.transaction() as cursor:
            cursor.execute(RECENT, {"open": [], "since": since, "counted": list(known)})
            rows = cursor.fetchall()
        reports = [None if row[-1] is None else msgspec.convert(row[-1], ExecutionReport) for row in rows]
        return list(zip(_orders(row[:-1] for row in rows), reports, strict=True))

    def endings(self, signal_ids: Collection[str]) -> dict[str, ExecutionReport | None]:
        """Return how these signals ended, None for those that have not; nothing of those without a row."""
        with self._database.transaction() as cursor:
            cursor.execute(ENDED, (list(signal_ids),))
            return {
                signal_id: None if status in OPEN_STATUSES else msgspec.convert(report, ExecutionReport)
                for signal_id, status, report in cursor.fetchall()
            }


def _orders(rows: Iterable[tuple[Any, ...]]) -> Iterable[Order]:
    for signal_id, owner, symbol, side, quantity, price in rows:
        yield Order(order_id=signal_id, owner=owner, symbol=symbol, side=side, quantity=quantity, price=price)
