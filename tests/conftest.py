"""Real servers for the tests, one of each per test process; a missing one fails the test, never skips it."""

import itertools
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg2
import pytest
import redis
import structlog
from psycopg2 import sql

from services.db_client import migrate
from services.embedded import EmbeddedPostgres, EmbeddedValkey

TEMPLATE = "migrated_template"
_database_numbers = itertools.count(1)


def pytest_configure() -> None:
    """Log in plain lines, and have the processes under test heed every signal.

    Pretty tracebacks take long, minutes for a large text. A run under nohup ignores some signals, and what it
    starts would, too.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedValkey]:
    """The shared Valkey: do not pause, kill or restart it, take `own_valkey` for that."""
    with EmbeddedValkey() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The shared PostgreSQL: do not pause, kill or restart it, take `own_postgres` for that."""
    with EmbeddedPostgres() as server:
        yield server


@pytest.fixture
def own_valkey() -> Iterator[EmbeddedValkey]:
    """A Valkey for this test alone, to be paused, killed and restarted (0.1 s)."""
    with EmbeddedValkey() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL for this test alone, empty, to be paused, killed and restarted (0.5 s)."""
    with EmbeddedPostgres() as server:
        yield server


@pytest.fixture
def redis_url(valkey: EmbeddedValkey) -> str:
    """The shared Valkey, emptied."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    return valkey.url


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A new database without any table."""
    with _new_database(postgres, "template1") as url:
        yield url


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedPostgres) -> str:
    """The name of a database with all migrations applied, from which others are copied."""
    _administer(postgres, "CREATE DATABASE {}", TEMPLATE)
    migrate(_url_of(postgres, TEMPLATE))
    return TEMPLATE


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """A new database with all migrations applied."""
    with _new_database(postgres, migrated_template) as url:
        yield url


@contextmanager
def _new_database(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = f"test_{next(_database_numbers)}"
    _administer(postgres, "CREATE DATABASE {} TEMPLATE {}", name, template)
    try:
        yield _url_of(postgres, name)
    finally:
        _administer(postgres, "DROP DATABASE {} WITH (FORCE)", name)


def _url_of(postgres: EmbeddedPostgres, database: str) -> str:
    return urlsplit(postgres.url)._replace(path=f"/{database}").geturl()


def _administer(postgres: EmbeddedPostgres, statement: str, *names: str) -> None:
    connection = psycopg2.connect(postgres.url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
    finally:
        connection.close()
