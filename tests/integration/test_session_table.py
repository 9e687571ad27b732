"""What the tables say of sessions: which should run, which ended, and whose orders nobody knows."""

from datetime import UTC, datetime

import pytest

from models.errors import ConfigError
from services.db_client import Database
from services.session_table import SessionTable
from services.signals.outcome import failed
from tests.integration.durable_outbox import execute, running_outbox
from tests.sample_signals import make_signal

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)


def test_running_and_ended_sessions_are_told_apart(database_url: str) -> None:
    execute(
        database_url,
        """
        INSERT INTO users (user_id, username) VALUES ('u1', 'alice');
        INSERT INTO sessions (session_id, strategy_id, user_id, symbol, type, status, started_at) VALUES
            ('runs', 'mock', 'u1', 'BTC/USD', 'crypto', 'RUNNING', '2026-01-28 12:00Z'),
            ('ended', 'mock', 'u1', 'AAPL', 'stock', 'STOPPED', '2026-01-28 12:00Z')
        """,
    )
    rows = SessionTable(Database(database_url)).read({"runs", "ended", "without a row"})
    [running] = rows.running
    assert (running.key, running.symbol, running.asset_type, running.started_at) == (
        "runs",
        "BTC/USD",
        "crypto",
        NOON,
    )
    assert rows.ended == {"ended"}
    assert not rows.unknown


def test_an_unknown_outcome_is_told_by_its_newest_signal_until_it_is_resolved(database_url: str) -> None:
    with running_outbox(database_url) as made:
        signals = [make_signal("s1"), make_signal("s1"), make_signal("s2"), make_signal("s3")]
        made.put(*signals)
        older, newer, other, executed = made.taken(4)
        for entry in (older, newer, other):
            made.outbox.finish(entry, failed(entry.signal, "unknown", "read_timeout", 1, 0.0))
        made.finish(executed)
    table = SessionTable(Database(database_url))
    assert table.read(()).unknown == {
        "s1": f"signal {newer.signal.signal_id}: read_timeout",
        "s2": f"signal {other.signal.signal_id}: read_timeout",
    }
    execute(database_url, "UPDATE signals SET status = 'rejected' WHERE session_key = 's2'")
    assert table.read(()).unknown.keys() == {"s1"}


def test_missing_tables_are_for_the_operator_to_make(empty_database_url: str) -> None:
    with pytest.raises(ConfigError, match="migrate"):
        SessionTable(Database(empty_database_url)).read(())
