"""The tables of executions as a person reads them."""

from typing import Any

from services.db_client import Cursor, Database

LIST = """
    SELECT execution_id, strategy_id, user_id, config ->> 'name' AS name, status, reason, total_pnl,
           total_exposure, started_at, stopped_at
    FROM strategy_executions ORDER BY started_at DESC LIMIT %s
"""
ONE = "SELECT * FROM strategy_executions WHERE execution_id::text = %s"
METRICS = "SELECT * FROM strategy_metrics WHERE execution_id::text = %s"
ORDERS = "SELECT * FROM execution_orders WHERE execution_id::text = %s ORDER BY number"

Record = dict[str, Any]


class ExecutionRecords:
    """Executions as a person reads them, those that have ended too. Methods raise StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, limit: int) -> list[Record]:
        """Return the newest executions, newest first."""
        with self._database.transaction() as cursor:
            cursor.execute(LIST, (limit,))
            return _records(cursor)

    def get(self, execution_id: str) -> Record | None:
        """Return everything about one: its row, its metrics, its orders; None where there is none."""
        with self._database.transaction() as cursor:
            cursor.execute(ONE, (execution_id,))
            found = _records(cursor)
            cursor.execute(METRICS, (execution_id,))
            metrics = _records(cursor)
            cursor.execute(ORDERS, (execution_id,))
            orders = _records(cursor)
        return {**found[0], **metrics[0], "orders": orders} if found else None


def _records(cursor: Cursor) -> list[Record]:
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
