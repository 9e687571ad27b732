"""What each schedule ran last, and whose turn it is to run it now."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from models.errors import StorageConflict
from services.db_client import Cursor, Database

BEGIN = "INSERT INTO engine_schedules (name, due_at) VALUES (%s, %s) ON CONFLICT DO NOTHING"
LAST = "SELECT due_at FROM engine_schedules WHERE name = %s"
TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('engine_schedules ' || %s, 0))"
NOTE = "UPDATE engine_schedules SET due_at = %s, outcome = %s, finished_at = %s WHERE name = %s"


class Turn:
    """The right to run a schedule, for as long as its transaction is open. `last` is what was run last."""

    def __init__(self, cursor: Cursor, name: str) -> None:
        self._cursor = cursor
        self._name = name
        self.last = _last(cursor, name)

    def note(self, due: datetime, outcome: str, now: datetime) -> None:
        """Note that the run that was due then is done, however it ended."""
        self._cursor.execute(NOTE, (due, outcome.replace("\0", "")[:1000], now, self._name))


class ScheduleTable:
    """The table `engine_schedules`. Every method raises StorageUnavailable where the server is not there.

    A turn is an advisory lock of one transaction, so it is free again as soon as whoever had it is gone, on
    whatever machine, and it works behind poolers, which share sessions out. What is noted is committed with
    it.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    def begin(self, now: datetime) -> None:
        """Make a new schedule known: what was due before now is not its to catch up."""
        with self._database.transaction() as cursor:
            cursor.execute(BEGIN, (self._name, now))

    def last(self) -> datetime:
        """Return when the last run was due, or when the schedule was made."""
        with self._database.transaction() as cursor:
            return _last(cursor, self._name)

    @contextmanager
    def turn(self) -> Iterator[Turn | None]:
        """Give the right to run it, until the block ends; None while somebody else has it."""
        with self._database.transaction() as cursor:
            cursor.execute(TRY_LOCK, (self._name,))
            row = cursor.fetchone()
            yield Turn(cursor, self._name) if row is not None and row[0] else None


def _last(cursor: Cursor, name: str) -> datetime:
    cursor.execute(LAST, (name,))
    row = cursor.fetchone()
    if row is None:
        raise StorageConflict(f"the schedule {name!r} was deleted while it ran")
    last: datetime = row[0]
    return last
