"""What callers see of a PostgreSQL that restarts, stops answering and comes back."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psycopg2
import pytest

from models.errors import StorageUnavailable
from services.db_client import Database
from services.embedded import EmbeddedPostgres
from tests.support import eventually, free_port


def backend(database: Database) -> int:
    with database.transaction() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        row = cursor.fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_failed_connection_gives_its_place_back() -> None:
    database = Database(f"postgresql://nobody@127.0.0.1:{free_port()}/x", size=1, statement_timeout=0.5)
    for _ in range(3):
        with pytest.raises(StorageUnavailable, match="refused"):
            database.ping()
    database.close()


def test_a_restarted_server_is_not_noticed_by_the_next_transactions(own_postgres: EmbeddedPostgres) -> None:
    database = Database(own_postgres.url)
    with ExitStack() as together:  # three connections rest in the pool afterwards
        for _ in range(3):
            together.enter_context(database.transaction()).execute("SELECT 1")
    own_postgres.restart()
    for _ in range(5):
        database.ping()
    database.close()


def test_a_connection_that_died_silently_is_replaced_after_a_rest(own_postgres: EmbeddedPostgres) -> None:
    """A firewall that forgot the connection: here the one backend is stopped, the server itself is not."""
    database = Database(own_postgres.url)
    rested = backend(database)
    asleep = threading.Event()
    asleep.wait(1.1)
    with stopped(rested):
        assert backend(database) != rested
    database.close()


def test_a_server_that_ends_meanwhile_is_told_as_unavailable(own_postgres: EmbeddedPostgres) -> None:
    database = Database(own_postgres.url)

    def outlive() -> None:
        with database.transaction() as cursor:
            cursor.execute("SELECT 1")
            own_postgres.kill()
            cursor.execute("SELECT 1")

    with pytest.raises(StorageUnavailable) as raised:
        outlive()
    assert not raised.value.uncertain
    own_postgres.restart()
    eventually(lambda: backend(database))
    database.close()


@pytest.mark.parametrize("rest", [0.0, 1.1], ids=["just used", "rested"])
def test_a_paused_server_costs_no_more_than_the_timeout(own_postgres: EmbeddedPostgres, rest: float) -> None:
    database = Database(own_postgres.url, connect_timeout=1.0, statement_timeout=1.0)
    database.ping()
    threading.Event().wait(rest)
    own_postgres.pause()
    started = time.monotonic()
    with ThreadPoolExecutor(12) as threads:  # three times as many as there are connections
        outcomes = list(threads.map(lambda _: unavailable(database), range(12)))
    assert all(outcomes)
    assert time.monotonic() - started < 10.0  # the server alone would take 20
    own_postgres.resume()
    database.ping()
    database.close()


def unavailable(database: Database) -> bool:
    try:
        database.ping()
    except StorageUnavailable:
        return True
    return False


def test_a_commit_without_an_answer_is_uncertain(own_postgres: EmbeddedPostgres) -> None:
    database = Database(own_postgres.url, statement_timeout=0.5)

    def commit_unheard() -> None:
        with database.transaction() as cursor:
            cursor.execute("CREATE TABLE notes (note text)")
            own_postgres.pause()

    with pytest.raises(StorageUnavailable) as raised:
        commit_unheard()
    assert raised.value.uncertain
    own_postgres.resume()
    database.close()


def test_a_connection_lost_before_the_commit_is_certain(own_postgres: EmbeddedPostgres) -> None:
    database = Database(own_postgres.url, statement_timeout=0.5)

    def swallow() -> None:
        with database.transaction() as cursor:
            own_postgres.pause()
            try:
                cursor.execute("SELECT 1")
            except psycopg2.OperationalError:
                return

    with pytest.raises(StorageUnavailable) as raised:
        swallow()
    assert not raised.value.uncertain
    database.close()
