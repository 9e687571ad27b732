"""A saved state to start from."""

from datetime import UTC, datetime, timedelta
from typing import Any

from models.position import Position
from models.saved_state import SavedState

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)


def saved(key: str = "s1", seconds: float = 0.0, **changed: Any) -> SavedState:
    """The state of a session, saved so long after noon."""
    values = {
        "session_key": key,
        "symbol": "AAPL",
        "strategy_id": "counting",
        "class_name": "Counting",
        "source_hash": "0" * 64,
        "state": '{"seen":3}',
        "last_bars": {"1m": NOON},
        "position": Position(quantity=2.0, average_price=100.5, realised_pnl=-3.25),
        "open_signals": ("a", "b"),
        "saved_at": NOON + timedelta(seconds=seconds),
    }
    return SavedState(**{**values, **changed})
