"""The table `signals`: its statements, and the claim of one run of the worker on its rows.

Every statement commits itself: one round trip, not three. So a lost connection leaves it open whether the
statement was carried out, and every one of them can be given again.
"""

import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from services.db_client import Cursor, Database
from services.signals.outbox import OutboxEntry
from services.signals.signal_rows import FoundRow, Mark, as_json, new_row, without_nul

CLAIM = "SELECT pg_try_advisory_lock(%s)"
# Prepared once per connection: parsing and planning it takes as long as carrying it out.
PREPARE_RECORD = """
    PREPARE record_signals (bigint, json) AS
    INSERT INTO signals (signal_id, session_key, session_id, strategy_id, symbol, action, price, quantity,
                         confidence, metadata, body, created_at, fence, status, reason, finished_at, report,
                         worker)
    SELECT signal_id, session_key, session_id, strategy_id, symbol, action, price, quantity,
           confidence, body -> 'metadata', body, created_at, fence, status, reason, finished_at, report, $1
    FROM json_to_recordset($2) AS given (
        signal_id text, session_key text, session_id text, strategy_id text, symbol text, action text,
        price numeric, quantity numeric, confidence double precision, body json, created_at timestamptz,
        fence bigint, status text, reason text, finished_at timestamptz, report jsonb)
    ON CONFLICT (signal_id) DO NOTHING
    RETURNING signal_id
"""
RECORD = "EXECUTE record_signals (%s, %s)"
PREPARE_MARK = """
    PREPARE mark_signals (json) AS
    UPDATE signals
    SET status = given.status, reason = given.reason, attempts = greatest(signals.attempts, given.attempts),
        sent_at = coalesce(signals.sent_at, given.sent_at), finished_at = given.finished_at,
        report = given.report, worker = CASE WHEN given.is_left THEN 0 ELSE signals.worker END
    FROM json_to_recordset($1) AS given (
        signal_id text, fence bigint, status text, reason text, attempts integer, sent_at timestamptz,
        finished_at timestamptz, report jsonb, is_left boolean)
    WHERE signals.signal_id = given.signal_id AND signals.fence = given.fence
        AND signals.status IN ('pending', 'sending')
"""
MARK = "EXECUTE mark_signals (%s)"
FIND = "SELECT * FROM signals WHERE signal_id = ANY(%s)"
OWN = "SELECT * FROM signals WHERE worker = %s AND status IN ('pending', 'sending') ORDER BY number"
# The lock is only tried, and given back at once. MATERIALIZED: once per run, not once per row.
ABANDONED = """
    WITH others AS MATERIALIZED (
        SELECT DISTINCT worker, session_key FROM signals
        WHERE status IN ('pending', 'sending') AND worker <> %s),
    runs AS MATERIALIZED (SELECT DISTINCT worker FROM others),
    ended AS MATERIALIZED (SELECT worker FROM runs WHERE worker = 0 OR pg_try_advisory_xact_lock(worker))
    SELECT worker, session_key FROM others JOIN ended USING (worker)
"""
ADOPT = """
    WITH held AS (SELECT key, value::bigint AS fence FROM json_each_text(%s)),
    adopted AS (
        UPDATE signals SET worker = %s, fence = greatest(signals.fence, held.fence) FROM held
        WHERE session_key = held.key AND worker = ANY(%s) AND status IN ('pending', 'sending')
        RETURNING signals.*)
    SELECT * FROM adopted ORDER BY number
"""
# What was decided under earlier leases belongs to nobody any more, whoever still delivers it.
FREE = """
    UPDATE signals SET worker = 0, fence = %(fence)s
    WHERE session_key = %(session_key)s AND status IN ('pending', 'sending') AND fence < %(fence)s
"""
NOBODY = 0
# A person has not said yet what became of one of their signals.
HALTED = "SELECT DISTINCT session_key FROM signals WHERE status = 'unknown' AND session_key = ANY(%s)"


class SignalTable:
    """The rows that one run of a worker writes. For one thread; `database` is its own, of one connection.

    While the connection stands it holds the advisory lock of `worker`, so that others see that this run
    lives. Methods raise StorageUnavailable, which leaves open whether the statement was carried out,
    StorageConflict when it surely was not, and ConfigError where the table is missing.
    """

    def __init__(self, database: Database) -> None:
        self.worker = secrets.randbits(62)
        self.connections = 0
        self._database = database
        self._connection: object = None
        self._is_claimed = False

    def record(self, entries: Iterable[OutboxEntry]) -> set[str]:
        """Write entries that have no row yet; return the ids of those written now.

        Raises Refused, too, for a signal that cannot be put into JSON.
        """
        rows = as_json([new_row(entry) for entry in entries])
        with self._statement() as cursor:
            cursor.execute(RECORD, (self.worker, rows))
            return {signal_id for (signal_id,) in cursor.fetchall()}

    def mark(self, marks: list[Mark]) -> None:
        """Write what became of signals. What has its final status keeps it."""
        with self._statement() as cursor:
            cursor.execute(MARK, (without_nul(as_json(marks)),))

    def find(self, signal_ids: list[str]) -> dict[str, FoundRow]:
        """Return the rows of signals, by their ids."""
        with self._statement() as cursor:
            cursor.execute(FIND, (signal_ids,))
            return {row.signal_id: row for row in _found(cursor)}

    def own(self) -> list[FoundRow]:
        """Return the unfinished rows of this run, in the order of their decisions."""
        with self._statement() as cursor:
            cursor.execute(OWN, (self.worker,))
            return _found(cursor)

    def abandoned(self) -> dict[int, set[str]]:
        """Return the runs that no longer hold their lock, with the sessions whose unfinished rows they have.

        NOBODY is among them where rows were freed.
        """
        with self._statement() as cursor:
            cursor.execute(ABANDONED, (self.worker,))
            runs: dict[int, set[str]] = {}
            for worker, session_key in cursor.fetchall():
                runs.setdefault(worker, set()).add(session_key)
            return runs

    def adopt(self, workers: set[int], held: dict[str, int]) -> list[FoundRow]:
        """Make unfinished rows of other runs those of this one; return them, in order.

        Only those of the sessions that are `held`, each from now on under the number given there.
        """
        with self._statement() as cursor:
            cursor.execute(ADOPT, (json.dumps(held), self.worker, list(workers)))
            return _found(cursor)

    def free(self, session_key: str, fence: int) -> None:
        """Take the unfinished rows of a session from whoever wrote them under a smaller number."""
        with self._statement() as cursor:
            cursor.execute(FREE, {"session_key": session_key, "fence": fence})

    def halted(self, session_keys: set[str]) -> set[str]:
        """Return which of these sessions have a signal of unknown outcome."""
        with self._statement() as cursor:
            cursor.execute(HALTED, (list(session_keys),))
            return {key for (key,) in cursor.fetchall()}

    def touch(self) -> None:
        """Keep the connection warm, and find out if it is not there any more."""
        with self._statement() as cursor:
            cursor.execute("SELECT 1")

    def close(self) -> None:
        """Give up the claim."""
        self._database.close()

    @contextmanager
    def _statement(self) -> Iterator[Cursor]:
        """Give a cursor for one statement that commits itself."""
        with self._database.transaction() as cursor:
            connection = cursor.connection
            connection.autocommit = True
            try:
                self._greet(cursor)
                yield cursor
            finally:
                if not connection.closed:
                    connection.autocommit = False

    def _greet(self, cursor: Cursor) -> None:
        """Prepare the statements on a new connection, and lock this run's number.

        The lock may not be had at once: after a cut in the network the server may still believe in the
        connection before, whose lock says the same to the others.
        """
        if cursor.connection is not self._connection:
            cursor.execute(f"DEALLOCATE ALL; {PREPARE_RECORD}; {PREPARE_MARK}")
            self._connection, self._is_claimed = cursor.connection, False
            self.connections += 1
        if not self._is_claimed:
            cursor.execute(CLAIM, (self.worker,))
            self._is_claimed = cursor.fetchone() == (True,)


def _found(cursor: Cursor) -> list[FoundRow]:
    names = [column.name for column in cursor.description or ()]
    rows = (dict(zip(names, row, strict=True)) for row in cursor.fetchall())
    return [FoundRow(**{name: row[name] for name in FoundRow.__struct_fields__}) for row in rows]
