"""How long snapshots of positions are kept."""

from threading import Event

from services.db_client import Database
from services.portfolio.snapshot_retention import LOOK_SECONDS, SnapshotRetention
from tests.integration.durable_outbox import execute
from tests.integration.portfolio_stage import table, take_approval
from tests.integration.test_portfolio_streams import encoded
from tests.sample_approvals import approval_message

WRITE = """
    INSERT INTO position_snapshots
        (execution_id, positions, cash, total_value, total_pnl, unrealized_pnl, snapshot_at)
    SELECT execution_id, '{}', age, 0, 0, 0, now() - make_interval(days => age)
    FROM strategy_executions, unnest(ARRAY[%s]) AS age WHERE approved_at = '%s'
"""
LATER = "2026-01-29T10:00:00Z"


def ages(url: str) -> list[int]:
    return sorted(int(row["cash"]) for row in table(url, "position_snapshots", "snapshot_id"))


def test_old_snapshots_are_forgotten_but_the_last_one_of_each_execution(database_url: str) -> None:
    approved = approval_message()["timestamp"]
    take_approval(
        database_url, encoded(approval_message()), encoded({**approval_message(), "timestamp": LATER})
    )
    execute(database_url, WRITE % ("1, 29, 31, 200", approved))
    execute(database_url, WRITE % ("40, 50, 60", LATER))
    now = [0.0]
    database = Database(database_url)
    keeps_all = SnapshotRetention(database, 0, lambda: now[0])
    keeps_all.look(Event())
    assert ages(database_url) == [1, 29, 31, 40, 50, 60, 200]
    retention = SnapshotRetention(database, 30, lambda: now[0])
    retention.look(Event())
    assert ages(database_url) == [1, 29, 40]
    execute(database_url, WRITE % ("35", approved))
    retention.look(Event())
    assert ages(database_url) == [1, 29, 35, 40]
    now[0] += LOOK_SECONDS
    retention.look(Event())
    assert ages(database_url) == [1, 29, 40]
    database.close()
