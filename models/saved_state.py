"""What of a session survives a restart."""

import json
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from models.errors import StrategyRejected
from models.lease import UNLEASED
from models.position import Position

MAX_STATE_BYTES = 64 * 1024


class SavedState(Struct, frozen=True, kw_only=True):
    """A session's state at one moment, as it is kept outside of the process.

    `state` is the JSON text of what `get_state` returned, None where the strategy never gave any that
    can be kept. `last_bars` holds the newest bar's timestamp per timeframe that the state has seen.
    `open_signals` are the ids of signals that had no answer at `saved_at`, which `position` counts, and of
    those whose outcome was unknown.
    """

    session_key: str
    symbol: str
    strategy_id: str
    class_name: str
    source_hash: str
    state: str | None
    last_bars: dict[str, datetime]
    position: Position
    open_signals: tuple[str, ...]
    saved_at: datetime
    fence: int = UNLEASED

    def is_later_by(self, time: timedelta, other: "SavedState | None") -> bool:
        """Whether it was saved at least so much later than another state."""
        return other is not None and self.saved_at - other.saved_at >= time

    def says_the_same(self, other: "SavedState | None") -> bool:
        """Whether nothing changed that a restart would miss.

        Bars that were seen do not count by themselves: what they left as it was may be told of them again.
        """
        return (
            other is not None
            and self.state == other.state
            and self.position == other.position
            and self.open_signals == other.open_signals
            and self.source_hash == other.source_hash
            and self.fence == other.fence
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
