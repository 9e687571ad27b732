"""What the migrated tables hold, and what they refuse."""

from collections.abc import Iterator

import pytest

from models.errors import StorageConflict
from services.db_client import Database

USER = "INSERT INTO users (user_id, username) VALUES ('u', 'u');"
SESSION = "INSERT INTO sessions (session_id, strategy_id, user_id, symbol, type)"
REFUSED = [
    "INSERT INTO users (username, virtual_balance) VALUES ('u', -0.01)",
    "INSERT INTO users (username, virtual_balance) VALUES ('u', 'NaN')",
    "INSERT INTO users (username, virtual_balance) VALUES ('u', 'Infinity')",
    f"{USER} {SESSION} VALUES ('s', 'mock', 'u', 'A*', 'stock')",
    f"{USER} {SESSION} VALUES ('s', 'mock', 'u', 'A', 'bond')",
    f"{USER} {SESSION} VALUES ('s', 'mock', 'nobody', 'A', 'stock')",
    """INSERT INTO strategies (symbol, strategy_type, parameters, current_score, strategy_hash)
       VALUES ('A', 'mock', '{}', 'NaN', 'h')""",
]
REFUSED_POSITIONS = [("0", "1"), ("-1", "1"), ("NaN", "1"), ("1", "NaN"), ("1", "-1"), ("Infinity", "1")]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def refuses(database: Database, statement: str, *values: str) -> bool:
    try:
        with database.transaction() as cursor:
            cursor.execute(statement, values or None)
    except StorageConflict:
        return True
    return False


def test_the_tables_refuse_what_cannot_be(database: Database) -> None:
    assert [each for each in REFUSED if not refuses(database, each)] == []


def test_a_position_is_a_positive_number_at_a_positive_price(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(f"{USER} {SESSION} VALUES ('s', 'mock', 'u', 'A', 'stock')")
    insert = "INSERT INTO positions VALUES ('u', 's', 'A', %s, %s)"
    assert [each for each in REFUSED_POSITIONS if not refuses(database, insert, *each)] == []
    assert not refuses(database, insert, "0.5", "1")


def test_a_session_needs_no_id_and_a_user_starts_with_the_default_balance(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(USER)
        cursor.execute(
            "INSERT INTO sessions (strategy_id, user_id, symbol, type)"
            " VALUES ('mock', 'u', 'BTC/USD', 'crypto') RETURNING length(session_id), mode, status"
        )
        assert cursor.fetchone() == (36, "paper", "RUNNING")
        cursor.execute("SELECT virtual_balance FROM users")
        assert cursor.fetchone() == (100000,)


def test_an_update_moves_updated_at(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(USER)
        cursor.execute("UPDATE users SET updated_at = '2000-01-01'")
        cursor.execute("SELECT updated_at = now() FROM users")
        assert cursor.fetchone() == (True,)


def test_the_catalogue_is_as_the_platform_expects_it(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'strategies'")
        indexes = " ".join(definition for (definition,) in cursor.fetchall())
    for column in ("(symbol)", "(strategy_type)", "(current_score", "(is_active)", "(strategy_hash)"):
        assert column in indexes
