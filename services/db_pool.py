"""A bounded pool of PostgreSQL connections that waits for a free one and hands out none that is dead."""

import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from models.errors import StorageUnavailable
from services.db_connection import WatchedConnection
from services.db_errors import connect_failure

REST_BEFORE_PING = 1.0  # seconds; after a shorter rest it is enough to look at the socket
PING_SECONDS = 1.0


class _Resting(NamedTuple):
    connection: WatchedConnection
    since: float


class ConnectionPool:
    """At most `size` connections, opened as they are needed, the last used first.

    `connect(seconds)` opens one within that time; `patience` is the most seconds that `take` waits.
    Thread-safe.
    """

    def __init__(self, connect: Callable[[float], WatchedConnection], *, size: int, patience: float) -> None:
        self._connect = connect
        self._patience = patience
        self._free = threading.BoundedSemaphore(size)
        self._resting: deque[_Resting] = deque()
        self._closed = False

    def take(self) -> WatchedConnection:
        """Wait for a connection that works. Raises StorageUnavailable when none can be had in time."""
        deadline = time.monotonic() + self._patience
        if not self._free.acquire(timeout=self._patience):
            raise StorageUnavailable(f"all database connections were busy for {self._patience:g} s")
        try:
            return self._rested() or self._fresh(deadline - time.monotonic())
        except BaseException:
            self._free.release()
            raise

    def give_back(self, connection: WatchedConnection) -> None:
        """Return a connection that was taken; one that is closed or mid-transaction is not kept."""
        if self._closed or connection.closed or connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
            connection.close()
        else:
            self._resting.append(_Resting(connection, time.monotonic()))
        self._free.release()

    def close(self) -> None:
        """Close what rests; what is in use is closed when it comes back. Nothing can be taken any more."""
        self._closed = True
        self._close_resting()

    def _rested(self) -> WatchedConnection | None:
        """Return a resting connection that works. One that does not ends the trust in all that rest."""
        with suppress(IndexError):
            connection, since = self._resting.pop()
            if _is_silent(connection) and (
                time.monotonic() - since < REST_BEFORE_PING or _answers(connection)
            ):
                return connection
            connection.close()
            self._close_resting()
        return None

    def _fresh(self, seconds: float) -> WatchedConnection:
        if self._closed:
            raise StorageUnavailable("the database client is closed")
        try:
            return self._connect(seconds)
        except psycopg2.Error as error:
            raise connect_failure(error) from None

    def _close_resting(self) -> None:
        with suppress(IndexError):
            while True:
                self._resting.pop().connection.close()


def _is_silent(connection: WatchedConnection) -> bool:
    """Whether nothing waits to be read: a server that went away leaves an end-of-file there."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return not poll.poll(0)


def _answers(connection: WatchedConnection) -> bool:
    """Ask the server: after a rest even a silent socket may lead nowhere, past a firewall that forgot it."""
    try:
        with connection.watchdog.guard(connection, PING_SECONDS), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            connection.rollback()
    except psycopg2.Error:
        return False
    return True
