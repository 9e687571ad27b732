"""Access to PostgreSQL: transactions on a bounded pool, with failures told as our own errors."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_INERROR
from psycopg2.extensions import cursor as Cursor  # noqa: N812  # a class, spelt like a variable

from models.errors import StorageConflict, StorageUnavailable
from services.db_connection import WatchedConnection, open_connection, readable_dsn
from services.db_errors import commit_failure, translated
from services.db_migrations import migrate
from services.db_pool import ConnectionPool
from services.db_watchdog import Watchdog

__all__ = ["Cursor", "Database", "migrate"]


class Database:
    """A PostgreSQL database, by its URL. Thread-safe; connects when it is first used.

    `connect_timeout` and `statement_timeout` are seconds. A caller waits at most `statement_timeout` for
    one of `size` connections, and as long for each statement, whatever state the server is in.
    Sessions are in UTC, transactions at READ COMMITTED. Raises ConfigError for a URL that cannot be read.
    """

    def __init__(
        self, url: str, *, size: int = 4, connect_timeout: float = 3.0, statement_timeout: float = 5.0
    ) -> None:
        self._dsn = readable_dsn(url)
        self._connect_timeout = connect_timeout
        self._statement_timeout = statement_timeout
        self._watchdog = Watchdog()
        self._pool = ConnectionPool(self._connect, size=size, patience=statement_timeout)

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """Give a cursor of one transaction: committed when the block ends, rolled back when it raises.

        Rows are tuples. Raises StorageUnavailable (`uncertain` when the COMMIT itself got no answer),
        StorageConflict for data that the server refuses, ConfigError for a schema that does not fit.
        """
        connection = self._pool.take()
        try:
            with translated(), connection.cursor() as cursor:
                yield cursor
            _commit(connection)
        except Exception:
            with suppress(psycopg2.Error):
                connection.rollback()
            raise
        except BaseException:
            connection.close()  # interrupted somewhere: not worth a round trip to find out where
            raise
        finally:
            self._pool.give_back(connection)

    def ping(self) -> None:
        """Ask the server for a sign of life. Raises StorageUnavailable."""
        with self.transaction() as cursor:
            cursor.execute("SELECT 1")

    def close(self) -> None:
        """Close the connections; what is in use is closed when its transaction ends."""
        self._pool.close()
        self._watchdog.close()

    def _connect(self, seconds: float) -> WatchedConnection:
        return open_connection(
            self._dsn,
            connect_timeout=min(seconds, self._connect_timeout),
            statement_timeout=self._statement_timeout,
            watchdog=self._watchdog,
        )


def _commit(connection: WatchedConnection) -> None:
    if connection.closed:
        raise StorageUnavailable("the connection to PostgreSQL was lost")
    if connection.info.transaction_status == TRANSACTION_STATUS_INERROR:
        # The server would answer this COMMIT with a silent ROLLBACK.
        raise StorageConflict("a statement of the transaction failed, so nothing of it can be committed")
    try:
        connection.commit()
    except psycopg2.Error as error:
        raise commit_failure(error) from error
