"""Forgets snapshots of positions that are too old; the last one of every execution is kept."""

import time
from collections.abc import Callable
from threading import Event

import structlog

from services.db_client import Database

LOOK_SECONDS = 3600.0
BATCH = 5_000

FORGET = """
    DELETE FROM position_snapshots WHERE snapshot_id IN (
        SELECT snapshot_id FROM position_snapshots AS old
        WHERE snapshot_at < now() - make_interval(days => %s)
          AND EXISTS (
              SELECT FROM position_snapshots AS newer
              WHERE newer.execution_id = old.execution_id
                AND (newer.snapshot_at, newer.snapshot_id) > (old.snapshot_at, old.snapshot_id))
        LIMIT %s)
"""

log = structlog.get_logger(__name__)


class SnapshotRetention:
    """Keeps `days` of snapshots, all of them when 0. For one thread; `clock` is monotonic."""

    def __init__(self, database: Database, days: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._days = days
        self._clock = clock
        self._due = clock() if days else float("inf")

    def look(self, stop: Event) -> None:
        """Forget what is too old, once an hour, a batch at a time. Raises StorageUnavailable."""
        if self._clock() < self._due:
            return
        self._due = self._clock() + LOOK_SECONDS
        total, taken = 0, BATCH
        while taken == BATCH and not stop.is_set():
            with self._database.transaction() as cursor:
                cursor.execute(FORGET, (self._days, BATCH))
                taken = cursor.rowcount
            total += taken
        if total:
            log.info("snapshots_forgotten", count=total, days=self._days)
