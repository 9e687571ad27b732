"""Outboxes in PostgreSQL for tests: made, crashed, and looked at from outside."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.extras

from models.signal import Signal
from services.db_client import Database
from services.signals.fence import Fence
from services.signals.outbox import OutboxEntry
from services.signals.outcome import Outcome, executed
from services.signals.postgres_outbox import PostgresOutbox
from services.signals.verdict import Executed
from tests.support import eventually

TTL = 30.0


class Crashable:
    """A durable outbox, and the connection that a crash of its process would cut."""

    def __init__(self, url: str, capacity: int = 1000, ttl: float = TTL, fence: Fence | None = None) -> None:
        self.database = Database(url, size=1, connect_timeout=1.0, statement_timeout=1.0)
        self.outbox = PostgresOutbox(self.database, capacity, ttl, fence=fence)

    def put(self, *signals: Signal) -> list[str | None]:
        return [self.outbox.put(signal, time.monotonic()) for signal in signals]

    def taken(self, count: int, seconds: float = 40.0) -> list[OutboxEntry]:
        """Wait for so many entries and take them; those of a former run may take two looks, 5 s apart."""
        found: list[OutboxEntry] = []

        def enough() -> bool:
            found.extend(self.outbox.take())
            return len(found) >= count

        eventually(enough, seconds, f"{count} entries")
        assert len(found) == count
        return found

    def finish(self, *entries: OutboxEntry) -> None:
        for entry in entries:
            self.outbox.finish(entry, filled(entry.signal))

    def stop(self) -> None:
        self.outbox.stop(time.monotonic() + 5.0)


@contextmanager
def running_outbox(
    url: str, capacity: int = 1000, ttl: float = TTL, fence: Fence | None = None
) -> Iterator[Crashable]:
    """Run an outbox; it is stopped in order at the end."""
    made = Crashable(url, capacity, ttl, fence)
    made.outbox.start()
    try:
        yield made
    finally:
        made.stop()


def crash(url: str, made: Crashable) -> None:
    """Leave the rows of an outbox behind as a killed process does: unfinished, and without its lock."""
    made.outbox.stop(time.monotonic() + 5.0)
    execute(url, "UPDATE signals SET status = 'pending', finished_at = NULL, report = NULL")


def filled(signal: Signal) -> Outcome:
    return executed(signal, Executed(status="filled", order_id="o-1"), attempts=1, at=0.0)


def rows(url: str) -> list[dict[str, Any]]:
    """Every row of the table, in the order of the decisions."""
    with open_connection(url) as connection:
        cursor = connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor)
        cursor.execute("SELECT * FROM signals ORDER BY number")
        return [dict(row) for row in cursor.fetchall()]


def statuses(url: str) -> list[str]:
    return [row["status"] for row in rows(url)]


def execute(url: str, statement: str) -> None:
    with open_connection(url) as connection:
        connection.cursor().execute(statement)


@contextmanager
def open_connection(url: str) -> Iterator[Any]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()
