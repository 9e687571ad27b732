"""The table `signals` as a person reads it, and what a person found out about one of them."""

from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from models.errors import StorageConflict
from models.execution import ExecutionReport
from models.signal import SignalStatus
from services.db_client import Cursor, Database
from services.signals.signal_rows import FoundRow

Finding = Literal["executed", "rejected"]

NEWEST = """
    SELECT * FROM signals
    WHERE (%(status)s IS NULL OR status = %(status)s) AND (%(session)s IS NULL OR session_key = %(session)s)
    ORDER BY created_at DESC, number DESC LIMIT %(limit)s
"""
ONE = "SELECT * FROM signals WHERE signal_id = %s"
# A row that is not finished is locked, too, against a worker that would take it over meanwhile.
RESOLVABLE = """
    SELECT *, status = 'unknown' OR (
        status IN ('pending', 'sending') AND pg_try_advisory_xact_lock(worker)) AS is_resolvable
    FROM signals WHERE signal_id = %s FOR UPDATE
"""
RESOLVE = """
    UPDATE signals SET status = %s, reason = %s, report = %s, finished_at = %s
    WHERE signal_id = %s RETURNING *
"""

Record = dict[str, Any]


class SignalRecords:
    """Reads signals, and writes what a person found out about one.

    Records are dicts by the names of the columns. Methods raise StorageUnavailable, and ConfigError where the
    table is missing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(
        self, limit: int, status: SignalStatus | None = None, session: str | None = None
    ) -> list[Record]:
        """Return the newest signals, newest first; with a status, or of a session key, only those."""
        with self._database.transaction() as cursor:
            cursor.execute(NEWEST, {"limit": limit, "status": status, "session": session})
            return _records(cursor)

    def get(self, signal_id: str) -> Record | None:
        """Return one signal, or None."""
        with self._database.transaction() as cursor:
            cursor.execute(ONE, (signal_id,))
            return next(iter(_records(cursor)), None)

    def resolve(self, signal_id: str, finding: Finding, who: str, why: str) -> Record:
        """Write down what a person found out about a signal of which nothing was known.

        Raises StorageConflict where there is no such signal, its end is known, or a worker delivers it.
        """
        with self._database.transaction() as cursor:
            cursor.execute(RESOLVABLE, (signal_id,))
            found = next(iter(_records(cursor)), None)
            if found is None:
                raise StorageConflict(f"there is no signal {signal_id}")
            if not found["is_resolvable"]:
                raise StorageConflict(_why_not(found))
            at = datetime.now(UTC)
            was = f"{found['status']} ({found['reason']})" if found["reason"] else found["status"]
            reason = f"resolved as {finding} by {who} at {at.isoformat(timespec='seconds')}: {why}; was {was}"
            report = _report(found, finding, reason)
            cursor.execute(RESOLVE, (finding, reason, msgspec.json.encode(report).decode(), at, signal_id))
            [resolved] = _records(cursor)
        return resolved


def _why_not(found: Record) -> str:
    if found["status"] in {SignalStatus.PENDING, SignalStatus.SENDING}:
        return f"signal {found['signal_id']} is being delivered: its worker finds out, or calls it unknown"
    return f"signal {found['signal_id']} is {found['status']}: only what is unknown can be resolved"


def _report(found: Record, finding: Finding, reason: str) -> ExecutionReport:
    """Report what was asked for as filled, or nothing."""
    signal = FoundRow(**{name: found[name] for name in FoundRow.__struct_fields__}).signal
    was_executed = finding == "executed"
    return ExecutionReport(
        signal_id=signal.signal_id,
        symbol=signal.symbol,
        action=signal.action,
        quantity=signal.quantity,
        status="filled" if was_executed else "rejected",
        filled_quantity=signal.quantity if was_executed else 0.0,
        filled_price=signal.price if was_executed else None,
        reason=reason,
    )


def _records(cursor: Cursor) -> list[Record]:
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
