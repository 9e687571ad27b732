"""Signals to send in tests, each with an id of its own."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from models.signal import Signal


def make_signal(session_key: str = "session-1", **changes: Any) -> Signal:
    """Make a signal of a session: BUY 10 AAPL at 100.5, but for the changes."""
    fields = {
        "action": "BUY",
        "price": 100.5,
        "quantity": 10.0,
        "signal_id": str(uuid4()),
        "session_key": session_key,
        "session_id": session_key,
        "strategy_id": "mock",
        "symbol": "AAPL",
        "timestamp": datetime(2026, 1, 28, 10, tzinfo=UTC),
    }
    return Signal(**{**fields, **changes})
