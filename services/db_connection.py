"""One connection to PostgreSQL whose every wait on the server ends in time."""

import math
from collections.abc import Iterable
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class, spelt like a variable
from psycopg2.extensions import cursor as Cursor  # noqa: N812  # same
from psycopg2.extensions import make_dsn, parse_dsn

from models.errors import ConfigError
from services.db_watchdog import Watchdog

APPLICATION_NAME = "strategy-worker"
WATCHDOG_GRACE = 0.5  # seconds that the server's own timeout has before the socket is cut


class WatchedConnection(Connection):
    """A connection whose every wait on the server ends within `seconds`.

    The watchdog and the time are set once, right after connecting.
    """

    watchdog: Watchdog
    seconds: float

    def commit(self) -> None:
        """Commit, or raise within the deadline."""
        with self.watchdog.guard(self, self.seconds):
            super().commit()

    def rollback(self) -> None:
        """Roll back, or raise within the deadline."""
        with self.watchdog.guard(self, self.seconds):
            super().rollback()


class WatchedCursor(Cursor):
    """A cursor of a WatchedConnection: each statement has the connection's time, however many there are."""

    connection: WatchedConnection

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # the name that psycopg2 gives it
        """Run one statement, as psycopg2 does."""
        with self.connection.watchdog.guard(self.connection, self.connection.seconds):
            super().execute(query, vars)

    def executemany(self, query: Any, vars_list: Iterable[Any]) -> None:
        """Run one statement for each row, as psycopg2 does, all within one deadline."""
        with self.connection.watchdog.guard(self.connection, self.connection.seconds):
            super().executemany(query, vars_list)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        """Run one COPY, as psycopg2 does."""
        with self.connection.watchdog.guard(self.connection, self.connection.seconds):
            super().copy_expert(sql, file, size)


def readable_dsn(url: str) -> str:
    """Return the URL as libpq takes it, with our name beside it. Raises ConfigError, without quoting it."""
    try:
        parts = parse_dsn(url)
    except psycopg2.Error:
        message = "DATABASE_URL cannot be read: write postgresql://user:password@host:5432/name"
        raise ConfigError(f"{message}, with / @ : % of the password escaped (%2F %40 %3A %25)") from None
    dsn: str = make_dsn(**{"application_name": APPLICATION_NAME, **parts})
    return dsn


def open_connection(
    dsn: str, *, connect_timeout: float, statement_timeout: float, watchdog: Watchdog
) -> WatchedConnection:
    """Connect, in UTC and with the server's own statement timeout. Raises psycopg2.Error.

    Both times are seconds. The settings are not sent as `options` of the connection, because poolers
    such as PgBouncer refuse those.
    """
    seconds = max(1, math.ceil(connect_timeout))
    connection = psycopg2.connect(
        dsn, connect_timeout=seconds, connection_factory=WatchedConnection, cursor_factory=WatchedCursor
    )
    connection.watchdog = watchdog
    connection.seconds = float(seconds)
    try:
        with connection.cursor() as cursor:
            milliseconds = max(1, round(statement_timeout * 1000))
            cursor.execute(f"SET TIME ZONE 'UTC'; SET statement_timeout = {milliseconds}")
        connection.commit()
    except psycopg2.Error:
        connection.close()
        raise
    connection.seconds = statement_timeout + WATCHDOG_GRACE
    return connection
