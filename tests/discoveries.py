"""Messages of a discovery pipeline for tests, as they stand in the stream."""

import json
from datetime import UTC, datetime
from typing import Any

from services.intake.messages import Message, Place

NOW = datetime(2026, 1, 28, 12, tzinfo=UTC)


def body(**changes: Any) -> dict[str, Any]:
    """A whole message as the contract has it; None takes a field away."""
    whole = {
        "symbol": "BTC/USD",
        "strategy_type": "SMA_RSI",
        "parameters": {"movingAveragePeriod": 20, "rsiPeriod": 14, "oversoldThreshold": 30.0},
        "current_score": 0.8,
        "discovery_symbol": "BTC/USD",
        "discovery_start_time": "2025-01-01T00:00:00Z",
        "discovery_end_time": "2026-01-01T00:00:00Z",
        "metrics": {
            "total_return": 0.31,
            "sharpe_ratio": 1.2,
            "max_drawdown": -0.12,
            "win_rate": 0.55,
            "profit_factor": 1.7,
            "total_trades": 44,
            "avg_trade_duration": 3.5,
        },
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


def payload(**changes: Any) -> bytes:
    """The same, encoded; NaN as Python writes it."""
    return json.dumps(body(**changes)).encode()


def message(given: bytes, *, delivered: int = 1, offset: str = "1-0") -> Message:
    """That payload as a message of the stream."""
    place = Place("discovered-strategies", None, offset)
    return Message(place=place, payload=given, delivered=delivered, written_at=NOW)
