"""What the tables of the engine refuse."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from models.errors import StorageConflict
from services.db_client import Database

BATCH = "INSERT INTO backtest_batches VALUES (%s, 'running', '{mock}', 1, 'f', 'h', '{}', now(), NULL)"
RUN = """
    INSERT INTO backtest_runs (run_id, batch_id, strategy, symbol, parameters, code_hash, data_hash, status,
        bars, left_out, signals, trades, winning_trades, statistics, seconds, finished_at)
    VALUES (%s, %s, 'mock', 'AAPL', '{}', 'c', 'd', 'done', 9, 0, 1, 1, 1, '{}', 0.1, now())
"""
SIGNAL = "INSERT INTO backtest_signals VALUES (%s, 0, %s, 'BUY', 1, 1, 1, now(), '{}')"
ID = str(UUID(int=1))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    with database.transaction() as cursor:
        cursor.execute(BATCH, (ID,))
        cursor.execute(RUN, (ID, ID))
        cursor.execute(SIGNAL, (ID, ID))
    yield database
    database.close()


@pytest.mark.parametrize(
    "change",
    [
        "backtest_batches SET status = 'finished'",
        "backtest_batches SET strategies = '{}'",
        "backtest_runs SET status = 'failed'",
        "backtest_runs SET sharpe_ratio = 'NaN'",
        "backtest_runs SET total_return = 'Infinity'",
        "backtest_runs SET winning_trades = 2",
        "backtest_runs SET seconds = 'NaN'",
        "backtest_signals SET price = 'NaN'",
        "backtest_signals SET quantity = 0",
        "backtest_signals SET action = 'HOLD'",
        "backtest_signals SET confidence = 2",
    ],
)
def test_a_row_that_cannot_be_is_refused(database: Database, change: str) -> None:
    with pytest.raises(StorageConflict), database.transaction() as cursor:
        cursor.execute(f"UPDATE {change}")


def test_with_a_run_its_signals_go(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM backtest_runs")
        cursor.execute("SELECT count(*) FROM backtest_signals")
        assert cursor.fetchone() == (0,)
