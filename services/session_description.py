"""What is shown of sessions, at /sessions and in the registry, in the names of the wire."""

from collections.abc import Mapping
from typing import Any

from models.position import Position
from models.session import SessionIdentity, SessionState


def describe_identity(identity: SessionIdentity, state: SessionState, reason: str | None) -> dict[str, Any]:
    """Return what is known of every session, with or without a strategy."""
    return {
        "key": identity.key,
        "symbol": identity.symbol,
        "type": identity.asset_type,
        "strategyId": identity.strategy_id,
        "sessionId": identity.session_id,
        "state": state.value,
        "reason": reason,
        "startedAt": identity.started_at.isoformat(),
    }


def describe_counts(bars: int, trades: int, signals: int, outcomes: Mapping[str, int]) -> dict[str, Any]:
    """Return what a session was told and sent, and what became of it."""
    return {"bars": bars, "trades": trades, "signals": signals, "outcomes": dict(outcomes)}


def describe_position(given: object) -> dict[str, float]:
    """Return a strategy's position; nothing held where its author has overwritten it."""
    position = given if isinstance(given, Position) else Position()
    return {
        "quantity": position.quantity,
        "averagePrice": position.average_price,
        "expected": position.expected,
        "realisedPnl": position.realised_pnl,
    }
