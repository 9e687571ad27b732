"""The databases of the tests: one after the other has the same one, as good as new."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Self
from urllib.parse import urlsplit

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class, spelt like a variable
from psycopg2.extensions import cursor as Cursor  # noqa: N812  # same

from services.db_client import migrate

ENDING_SECONDS = 10
# What changes with every change of the schema: a test that makes one has a database to itself.
SCHEMA = """
    SELECT md5(string_agg(what, ' ' ORDER BY what)) FROM (
        SELECT 'class ' || oid || relname FROM pg_class WHERE oid >= 16384
        UNION ALL SELECT 'column ' || attrelid || attname || xmin FROM pg_attribute WHERE attrelid >= 16384
        UNION ALL SELECT 'constraint ' || oid || xmin FROM pg_constraint WHERE oid >= 16384
        UNION ALL SELECT 'default ' || oid || xmin FROM pg_attrdef WHERE oid >= 16384
        UNION ALL SELECT 'function ' || oid || xmin FROM pg_proc WHERE oid >= 16384
        UNION ALL SELECT 'trigger ' || oid || xmin FROM pg_trigger WHERE oid >= 16384
        UNION ALL SELECT 'schema ' || oid || xmin FROM pg_namespace WHERE oid >= 16384
        UNION ALL SELECT 'migration ' || each::text FROM schema_migrations AS each
    ) AS known (what)
"""
TABLES = """
    SELECT oid::regclass::text FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'schema_migrations'
"""
COUNTED = "SELECT format('%I.%I', schemaname, sequencename) FROM pg_sequences WHERE last_value IS NOT NULL"


class Databases:
    """Hands out databases of one server, for one test at a time.

    Making one takes thirty times as long as emptying one: it is 300 files. So a database is handed on, under
    another name, by which nobody knows it who had it before.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count(1)
        self._resting: str | None = None
        self._schema: str | None = None
        self._end = ExitStack()

    def __enter__(self) -> Self:
        self._server = self._end.enter_context(closing(_connect(self._url)))
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Give the URL of a new database, which ends with the block."""
        name = self._new_name()
        self._administer("CREATE DATABASE {}", name)
        try:
            yield self._url_of(name)
        finally:
            self._administer("DROP DATABASE {} WITH (FORCE)", name)

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """Give the URL of a database with all migrations applied and no rows."""
        name, self._resting = self._resting or self._make(), None
        try:
            yield self._url_of(name)
        finally:
            name = self._take_back(name)
            if self._is_as_new(name):
                self._resting = name
            else:
                self._administer("DROP DATABASE {} WITH (FORCE)", name)

    def _make(self) -> str:
        name = self._new_name()
        self._administer("CREATE DATABASE {}", name)
        migrate(self._url_of(name))
        with closing(_connect(self._url_of(name))) as connection, connection.cursor() as cursor:
            assert not _used(cursor), (
                "a migration writes rows: they have to be kept when a database is emptied"
            )
            self._schema = _one(cursor, SCHEMA)
        return name

    def _take_back(self, name: str) -> str:
        """End all connections and rename it, so that nobody comes back; return the new name."""
        renamed = self._new_name()
        self._administer("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
        with self._server.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE datname = %s",
                (ENDING_SECONDS * 1000, name),
            )
        self._administer("ALTER DATABASE {} RENAME TO {}", name, renamed)
        self._administer("ALTER DATABASE {} ALLOW_CONNECTIONS true", renamed)
        return renamed

    def _is_as_new(self, name: str) -> bool:
        """Empty a database; false where more than rows was changed."""
        with closing(_connect(self._url_of(name))) as connection, connection.cursor() as cursor:
            if _one(cursor, SCHEMA) != self._schema:
                return False
            if used := _used(cursor):
                cursor.execute(f"TRUNCATE {', '.join(used)} RESTART IDENTITY CASCADE")
            for sequence in _all(cursor, COUNTED):
                cursor.execute(f"ALTER SEQUENCE {sequence} RESTART")
        return True

    def _new_name(self) -> str:
        return f"test_{next(self._numbers)}"

    def _url_of(self, name: str) -> str:
        return urlsplit(self._url)._replace(path=f"/{name}").geturl()

    def _administer(self, statement: str, *names: str) -> None:
        with self._server.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _connect(url: str) -> Connection:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection


def _used(cursor: Cursor) -> list[str]:
    """Return the tables that have rows."""
    return [table for table in _all(cursor, TABLES) if _one(cursor, f"SELECT EXISTS (TABLE {table})")]


def _all(cursor: Cursor, query: str) -> list[str]:
    cursor.execute(query)
    return [value for (value,) in cursor.fetchall()]


def _one(cursor: Cursor, query: str) -> str:
    return _all(cursor, query)[0]
