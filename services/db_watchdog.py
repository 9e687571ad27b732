"""Frees threads that wait on a PostgreSQL backend which no longer answers.

A stopped or unreachable backend ignores statement_timeout, and the kernel goes on acknowledging, so
that TCP sees nothing wrong for a long time. Shutting the socket down makes libpq return at once.
"""

import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import structlog
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class, spelt like a variable

log = structlog.get_logger(__name__)


class _Watched(NamedTuple):
    deadline: float
    descriptor: int


class Watchdog:
    """One thread that shuts down the socket of every guarded connection whose time is up.

    The thread starts with the first guard and ends with `close()`.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: dict[object, _Watched] = {}
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def guard(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Cut `connection` if the block takes longer than `seconds`; libpq then raises in the block."""
        if connection.closed:
            yield
            return
        key = object()
        self._watch(key, _Watched(time.monotonic() + seconds, connection.fileno()))
        try:
            yield
        finally:
            with self._changed:
                self._watched.pop(key, None)

    def close(self) -> None:
        """End the thread. What is guarded from now on is unwatched."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _watch(self, key: object, watched: _Watched) -> None:
        with self._changed:
            self._watched[key] = watched
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="db-watchdog", daemon=True)
                self._thread.start()
            elif watched.deadline < self._wakes_at:
                self._wakes_at = watched.deadline
                self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                for key in [key for key, watched in self._watched.items() if watched.deadline <= now]:
                    _shut_down(self._watched.pop(key).descriptor)
                # While statements come and go the thread sleeps on: waking it for each would cost more
                # than the statement.
                self._wakes_at = min((each.deadline for each in self._watched.values()), default=math.inf)
                self._changed.wait(None if self._wakes_at == math.inf else max(0.0, self._wakes_at - now))


def _shut_down(descriptor: int) -> None:
    """End both directions of a socket that libpq owns: only a duplicate of its descriptor is closed."""
    log.warning("database_connection_cut", reason="no answer within the deadline")
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)
