"""Transactions on the pool, against a real PostgreSQL."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from models.errors import ConfigError, StorageConflict, StorageUnavailable
from services.db_client import Database


@pytest.fixture
def database(empty_database_url: str) -> Iterator[Database]:
    database = Database(empty_database_url)
    with database.transaction() as cursor:
        cursor.execute("CREATE TABLE notes (note text PRIMARY KEY)")
    yield database
    database.close()


def notes(database: Database) -> list[str]:
    with database.transaction() as cursor:
        cursor.execute("SELECT note FROM notes ORDER BY note")
        return [note for (note,) in cursor.fetchall()]


def write(database: Database, note: str) -> None:
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO notes VALUES (%s)", (note,))


def backend(database: Database) -> int:
    with database.transaction() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        row = cursor.fetchone()
        assert row is not None
        return int(row[0])


def test_a_block_that_ends_is_committed(database: Database) -> None:
    write(database, "kept")
    assert notes(database) == ["kept"]


def test_a_block_that_raises_is_rolled_back(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as cursor:
            cursor.execute("INSERT INTO notes VALUES ('lost')")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert notes(database) == []


def test_an_interrupted_block_is_rolled_back(database: Database) -> None:
    def interrupt() -> None:
        with database.transaction() as cursor:
            cursor.execute("INSERT INTO notes VALUES ('lost')")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert notes(database) == []


def test_a_session_is_in_utc_and_has_a_statement_timeout(empty_database_url: str) -> None:
    database = Database(empty_database_url, statement_timeout=2.5)
    with database.transaction() as cursor:
        cursor.execute("SELECT current_setting('timezone'), current_setting('statement_timeout')")
        assert cursor.fetchone() == ("UTC", "2500ms")
    database.close()


def test_a_broken_constraint_is_a_conflict(database: Database) -> None:
    write(database, "once")
    with pytest.raises(StorageConflict, match="notes_pkey"):
        write(database, "once")
    assert notes(database) == ["once"]


def test_a_constraint_checked_at_the_commit_is_a_conflict_too(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("CREATE TABLE replies (note text REFERENCES notes DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(StorageConflict, match="foreign key"), database.transaction() as cursor:
        cursor.execute("INSERT INTO replies VALUES ('to nothing')")


def test_data_of_the_wrong_kind_are_a_conflict(database: Database) -> None:
    with pytest.raises(StorageConflict, match="invalid input syntax"), database.transaction() as cursor:
        cursor.execute("SELECT 'x'::integer")


def test_a_failed_statement_that_was_swallowed_cannot_pass_for_a_commit(database: Database) -> None:
    def swallow() -> None:
        with database.transaction() as cursor:
            cursor.execute("INSERT INTO notes VALUES ('lost')")
            try:
                cursor.execute("SELECT 1 / 0")
            except psycopg2.DataError:
                return

    with pytest.raises(StorageConflict, match="nothing of it can be committed"):
        swallow()
    assert notes(database) == []


def test_a_missing_table_asks_for_the_migrations(database: Database) -> None:
    with pytest.raises(ConfigError, match=r"main\.py migrate"), database.transaction() as cursor:
        cursor.execute("SELECT * FROM nothing_of_that_name")


def test_a_mistake_in_the_sql_is_told_as_it_is(database: Database) -> None:
    with pytest.raises(psycopg2.ProgrammingError), database.transaction() as cursor:
        cursor.execute("SELEKT 1")


def test_a_connection_is_used_again(database: Database) -> None:
    assert len({backend(database) for _ in range(5)}) == 1


def test_more_threads_than_connections_wait_for_each_other(empty_database_url: str) -> None:
    database = Database(empty_database_url, size=2)
    used: set[int] = set()

    def work(_: int) -> None:
        with database.transaction() as cursor:
            cursor.execute("SELECT pg_backend_pid(), pg_sleep(0.02)")
            row = cursor.fetchone()
            assert row is not None
            used.add(row[0])

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(work, range(20)))
    assert len(used) == 2
    database.close()


def test_waiting_for_a_free_connection_ends_in_time(empty_database_url: str) -> None:
    database = Database(empty_database_url, size=1, statement_timeout=0.3)
    with database.transaction(), pytest.raises(StorageUnavailable, match="busy"):
        database.ping()
    database.ping()
    database.close()


def test_a_long_statement_is_ended_by_the_server(empty_database_url: str) -> None:
    database = Database(empty_database_url, statement_timeout=0.2)
    with pytest.raises(StorageUnavailable, match="statement timeout"), database.transaction() as cursor:
        cursor.execute("SELECT pg_sleep(20)")
    database.ping()
    database.close()


def test_a_transaction_may_take_longer_than_one_statement(empty_database_url: str) -> None:
    database = Database(empty_database_url, statement_timeout=0.4)
    with database.transaction() as cursor:
        for _ in range(8):
            cursor.execute("SELECT pg_sleep(0.2)")
    database.close()


def test_closing_ends_connections_and_refuses_more(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    before = threading.active_count()
    with database.transaction() as cursor:
        cursor.execute("SELECT 1")
        database.close()
        cursor.execute("SELECT 2")
    with pytest.raises(StorageUnavailable, match="closed"):
        database.ping()
    assert threading.active_count() <= before
