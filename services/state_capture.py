"""Taking what of a session should survive a restart. On the thread that may call its strategy."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from models.saved_state import SavedState
from services.state_source import code_hash

if TYPE_CHECKING:
    from services.session import Session


def capture(session: "Session", state: str | None, last_bars: dict[str, datetime]) -> SavedState:
    """Put together what is saved of a session now, with this JSON as its strategy's state."""
    before, identity = session.memory.saved, session.identity
    now = datetime.now(UTC)
    if before is not None:
        now = max(now, before.saved_at + timedelta(microseconds=1))  # a clock that was set back
    return SavedState(
        session_key=identity.key,
        symbol=identity.symbol,
        strategy_id=identity.strategy_id,
        class_name=type(session.strategy).__qualname__,
        source_hash=code_hash(session.strategy),
        state=state,
        last_bars=last_bars,
        position=session.strategy.position,
        open_signals=tuple(sorted(session.memory.open_signals | session.memory.unresolved)),
        saved_at=now,
        fence=session.memory.fence,
    )
