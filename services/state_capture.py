"""Taking what of a session should survive a restart. On the thread that may call its strategy."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from models.errors import StrategyRejected
from models.saved_state import SavedState
from services.state_source import source_hash

if TYPE_CHECKING:
    from services.session import Session

MAX_STATE_BYTES = 64 * 1024


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
        source_hash=source_hash(type(session.strategy)),
        state=state,
        last_bars=last_bars,
        position=session.strategy.position,
        open_signals=tuple(sorted(session.memory.open_signals | session.memory.unresolved)),
        saved_at=now,
        fence=session.memory.fence,
    )


def encode_state(given: object) -> str:
    """Return what `get_state` returned as JSON.

    Raises StrategyRejected unless it is a dict of JSON values with text as keys, of at most 64 KiB.
    """
    if not isinstance(given, dict):
        raise StrategyRejected(f"get_state returned {type(given).__name__}; it must return a dict")
    try:
        text = json.dumps(given, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode())
        _check_keys(given)
    except (TypeError, ValueError, RecursionError) as error:
        raise StrategyRejected(f"what get_state returned is not JSON: {error}") from None
    if size > MAX_STATE_BYTES:
        raise StrategyRejected(
            f"what get_state returned is {size} bytes as JSON; at most {MAX_STATE_BYTES} are kept"
        )
    return text


def _check_keys(value: Any) -> None:
    """Refuse keys that JSON would turn into text: they would come back as something else."""
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is no text")
            _check_keys(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _check_keys(each)
