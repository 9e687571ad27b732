"""Real servers for the tests, one of each per test process; a missing one fails the test, never skips it."""

import gc
import signal
from collections.abc import Iterator

import pytest
import redis
import structlog

from services.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.databases import Databases
from tests.in_memory import use_memory


def pytest_configure(config: pytest.Config) -> None:
    """Log in plain lines, have the processes under test heed every signal, and servers write to memory.

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
    if not hasattr(config, "workerinput"):  # the workers of a parallel run are started with it
        config.add_cleanup(use_memory())


def pytest_collection() -> None:
    """Look for no garbage among thousands of tests, all of which stay: it takes a third of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage again, but not among the tests."""
    gc.freeze()
    gc.enable()


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


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres) -> Iterator[Databases]:
    """The databases of the shared PostgreSQL."""
    with Databases(postgres.url) as databases:
        yield databases


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """A new database without any table."""
    with databases.empty() as url:
        yield url


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A database with all migrations applied and nothing else in it."""
    with databases.migrated() as url:
        yield url
