"""Gives the decisions of a session their identity."""

from collections.abc import Callable
from datetime import UTC, datetime

from models.market_data import Bar, Trade
from models.session import Lifecycle, SessionIdentity
from models.signal import Decision, Signal, derive_signal_id
from services.turn import InputEvent


def utc_now() -> datetime:
    """Return the time by the clock of this machine."""
    return datetime.now(UTC)


class SignalStamp:
    """Turns decisions into signals whose ids follow from the session, the event they answer, and their order.

    Events that cannot be told apart (equal trades of one instant) count on, so that their signals still have
    ids of their own. `now` is the time of signals that answer no market data.
    """

    __slots__ = ("_identity", "_last_event", "_now", "_ordinal")

    def __init__(self, identity: SessionIdentity, now: Callable[[], datetime] = utc_now) -> None:
        self._identity = identity
        self._now = now
        self._last_event = ""
        self._ordinal = 0

    def stamp(self, decision: Decision, answered: InputEvent | None) -> Signal:
        """Return the signal for a decision in answer to an event; None stands for the start."""
        event = answered or Lifecycle("start", self._identity.started_at)
        name = event.identity
        self._ordinal = self._ordinal + 1 if name == self._last_event else 0
        self._last_event = name
        key = self._identity.key
        return Signal(
            action=decision.action,
            price=decision.price,
            quantity=decision.quantity,
            confidence=decision.confidence,
            metadata=decision.metadata,
            signal_id=derive_signal_id(key, name, self._ordinal),
            session_key=key,
            session_id=self._identity.session_id,
            strategy_id=self._identity.strategy_id,
            symbol=self._identity.symbol,
            timestamp=event.timestamp if isinstance(event, Bar | Trade) else self._now(),
        )
