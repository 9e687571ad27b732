"""The databases of the tests: what one test did to its database no other test finds."""

import psycopg2
import pytest

from tests.databases import Databases
from tests.integration.durable_outbox import execute, open_connection

NUMBER = "SELECT nextval(pg_get_serial_sequence('signals', 'number'))"
USER = "INSERT INTO users (user_id, username) VALUES ('ada', 'Ada')"


def answer(url: str, query: str) -> object:
    with open_connection(url) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()


def database_of(url: str) -> object:
    return answer(url, "SELECT oid FROM pg_database WHERE datname = current_database()")


def test_rows_and_counters_of_the_test_before_are_gone(databases: Databases) -> None:
    with databases.migrated() as url:
        first = database_of(url)
        execute(url, USER)
        answer(url, NUMBER)
    with databases.migrated() as url:
        assert database_of(url) == first
        assert answer(url, "SELECT count(*) FROM users") == (0,)
        assert answer(url, NUMBER) == (1,)


def test_whoever_is_late_finds_the_database_no_more(databases: Databases) -> None:
    with databases.migrated() as url:
        connection = psycopg2.connect(url)
    with databases.migrated(), pytest.raises(psycopg2.OperationalError):
        connection.cursor().execute(USER)
    with databases.migrated(), pytest.raises(psycopg2.OperationalError, match="does not exist"):
        psycopg2.connect(url)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE signals ADD CHECK (symbol <> 'BAD')",
        "ALTER TABLE signals ALTER COLUMN reason SET NOT NULL",
        "DROP TRIGGER users_touch ON users",
        "UPDATE schema_migrations SET checksum = ''",
    ],
)
def test_a_database_whose_schema_was_changed_is_not_handed_on(databases: Databases, change: str) -> None:
    with databases.migrated() as url:
        changed = database_of(url)
        execute(url, change)
    with databases.migrated() as url:
        assert database_of(url) != changed
