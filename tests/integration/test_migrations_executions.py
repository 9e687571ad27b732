"""What the tables of executions hold, and what they refuse."""

from collections.abc import Iterator

import pytest

from models.errors import StorageConflict
from services.db_client import Database

INSERT = """
    INSERT INTO strategy_executions (execution_id, strategy_id, user_id, approved_at, config)
    VALUES ('00000000-0000-4000-8000-000000000001', gen_random_uuid(), gen_random_uuid(), '2026-01-28', '{}')
"""
ORDER = """
    INSERT INTO execution_orders
        (order_id, execution_id, cycle, ordinal, symbol, side, quantity, price, reason, decided_at)
    VALUES (gen_random_uuid(), '00000000-0000-4000-8000-000000000001', %s, 0, %s, %s, %s, %s, 'close', now())
"""
AMOUNTS = ("total_pnl", "realized_pnl", "unrealized_pnl", "daily_pnl", "total_exposure", "fees")
REFUSED_ORDERS = [
    ("0", "A", "BUY", "1", "1"),
    ("1", "A*", "BUY", "1", "1"),
    ("1", "A", "HOLD", "1", "1"),
    ("1", "A", "BUY", "0", "1"),
    ("1", "A", "BUY", "NaN", "1"),
    ("1", "A", "BUY", "1", "NaN"),
    ("1", "A", "BUY", "Infinity", "1"),
    ("1", "A", "BUY", "1", "-1"),
]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    run(database, INSERT)
    yield database
    database.close()


def run(database: Database, statement: str, *values: str) -> list[tuple[object, ...]]:
    with database.transaction() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def refuses(database: Database, statement: str, *values: str) -> bool:
    try:
        run(database, statement, *values)
    except StorageConflict:
        return True
    return False


def test_the_tables_refuse_amounts_that_are_no_numbers(database: Database) -> None:
    update = "UPDATE strategy_executions SET {} = '{}'"
    wrong = [update.format(name, value) for name in AMOUNTS for value in ("NaN", "Infinity")]
    snapshot = """INSERT INTO position_snapshots
        (execution_id, positions, cash, total_value, total_pnl, unrealized_pnl)
        VALUES ('00000000-0000-4000-8000-000000000001', '{}', 1, 'NaN', 0, 0)"""
    assert [each for each in [*wrong, snapshot] if not refuses(database, each)] == []


def test_an_order_is_a_positive_quantity_of_a_symbol_at_a_positive_price(database: Database) -> None:
    assert [each for each in REFUSED_ORDERS if not refuses(database, ORDER, *each)] == []
    assert not refuses(database, ORDER, "1", "BTC/USD", "BUY", "0.5", "40000")


def test_one_approval_is_one_execution(database: Database) -> None:
    again = INSERT.replace(
        "'00000000-0000-4000-8000-000000000001', gen_random_uuid()", "gen_random_uuid(), %s"
    )
    [(strategy_id,)] = run(database, "SELECT strategy_id FROM strategy_executions")
    assert refuses(database, again, str(strategy_id))
    assert not refuses(database, again.replace("2026-01-28", "2026-01-29"), str(strategy_id))


def test_the_end_of_an_execution_has_its_time_and_an_error_its_reason(database: Database) -> None:
    assert refuses(database, "UPDATE strategy_executions SET status = 'stopped'")
    assert refuses(database, "UPDATE strategy_executions SET status = 'error'")
    assert not refuses(database, "UPDATE strategy_executions SET status = 'stopped', stopped_at = now()")


def test_an_update_of_an_execution_or_order_moves_updated_at(database: Database) -> None:
    run(database, ORDER, "1", "A", "BUY", "1", "1")
    touch = "UPDATE {} SET updated_at = '2000-01-01' RETURNING updated_at = now()"
    for table in ("strategy_executions", "execution_orders"):
        assert run(database, touch.format(table)) == [(True,)]


def test_strategy_metrics_count_orders_and_hours(database: Database) -> None:
    for cycle, status in enumerate(("FILLED", "FILLED", "REJECTED", "CANCELLED", "PENDING"), start=1):
        run(database, ORDER, str(cycle), "A", "BUY", "1", "1")
        run(
            database,
            "UPDATE execution_orders SET status = %s, filled_quantity = 1, filled_price = 1 WHERE cycle = %s",
            status,
            str(cycle),
        )
    run(
        database,
        """UPDATE strategy_executions SET total_trades = 4, winning_trades = 3, losing_trades = 1,
           status = 'stopped', stopped_at = started_at + interval '90 minutes'""",
    )
    [row] = run(
        database,
        """SELECT total_orders, filled_orders, rejected_orders, cancelled_orders, win_rate, runtime_hours
           FROM strategy_metrics""",
    )
    assert row == (5, 2, 1, 1, 0.75, 1.5)
