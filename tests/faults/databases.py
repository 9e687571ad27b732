"""Databases for experiments, and what the worker wrote into them."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

import psycopg2

from services.db_client import migrate
from services.embedded import EmbeddedPostgres

_numbers = itertools.count(1)


class Databases:
    """A PostgreSQL that experiments share, each with a database of its own. Not to be paused or killed.

    One that runs already is used, where it is given, and left running.
    """

    def __init__(self, server: EmbeddedPostgres | None = None) -> None:
        self._is_ours = server is None
        self._server = server or EmbeddedPostgres()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_ours:
            self._server.stop()

    def new(self) -> str:
        """Make a database with all migrations applied; return its URL."""
        name = f"faults_{next(_numbers)}"
        with cursor_of(self._server.url) as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        url = urlsplit(self._server.url)._replace(path=f"/{name}").geturl()
        migrate(url)
        return url


@contextmanager
def cursor_of(url: str) -> Iterator[Any]:
    """Open a connection for some statements, each its own transaction."""
    connection = psycopg2.connect(url, connect_timeout=5)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def signal_statuses(url: str) -> dict[str, str]:
    """The status of every signal that has a row, by its id."""
    with cursor_of(url) as cursor:
        cursor.execute("SELECT signal_id, status FROM signals")
        return dict(cursor.fetchall())


def unfinished_signals(url: str) -> int:
    """How many recorded signals have not ended."""
    with cursor_of(url) as cursor:
        cursor.execute("SELECT count(*) FROM signals WHERE finished_at IS NULL")
        return int(cursor.fetchone()[0])


def add_session(url: str, key: str, symbol: str, strategy: str) -> None:
    """Write the row of a session that should run, as a platform does."""
    with cursor_of(url) as cursor:
        cursor.execute("INSERT INTO users (user_id, username) VALUES ('u1', 'alice') ON CONFLICT DO NOTHING")
        cursor.execute(
            "INSERT INTO sessions (session_id, strategy_id, user_id, symbol, type)"
            " VALUES (%s, %s, 'u1', %s, 'stock')",
            (key, strategy, symbol),
        )


def end_session(url: str, key: str) -> None:
    """Say in the row of a session that it should run no more."""
    with cursor_of(url) as cursor:
        cursor.execute(
            "UPDATE sessions SET status = 'STOPPED', ended_at = now() WHERE session_id = %s", (key,)
        )
