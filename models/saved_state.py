"""What of a session survives a restart."""

from datetime import datetime, timedelta

from msgspec import Struct

from models.lease import UNLEASED
from models.position import Position


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
