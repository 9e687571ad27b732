"""What the data thread knows of one symbol, its recent bars among it."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from models.errors import DecodeError
from models.market_data import Bar, check_timeframe
from services.gap_detection import Detection, Position, step_of

KEPT_AT_LEAST = 100
KEPT_AT_MOST = 1_000
MOST_TIMEFRAMES = 16
MOST_TIMEFRAMES_KNOWN = 64


@dataclass(slots=True)
class SymbolFeed:
    """What the data thread knows of one symbol; only that thread writes it.

    `last_price` is the latest close or trade in the quote currency, `heard_at` when the last event came
    (monotonic seconds). `recent` holds the newest bars per timeframe, the newest last: 100 of each, more
    where a session asked for more, at most 1,000; of each timeframe beyond the sixteenth only one. There are
    never more than 64 of them.

    `steps` holds the time from one bar of a timeframe to the next, the longest there is where it is unknown;
    `detection` says how well gaps are known, the positions where its numbered channels stand. `fenced_for`
    is None while signals may be sent, else the timeframes of which one bar was seen since a gap.
    `before_loss` holds what was heard last before the connection was lost: what is missing from there on was
    counted then. `timed_events` is of how many more events each session's call is timed.
    """

    symbol: str
    last_price: float | None = None
    heard_at: float = field(default_factory=time.monotonic)
    recent: dict[str, deque[Bar]] = field(default_factory=dict)
    steps: dict[str, timedelta] = field(default_factory=dict)
    kept: int = KEPT_AT_LEAST
    detection: Detection = "bars"
    bar_position: Position | None = None
    trade_position: Position | None = None
    fenced_for: set[str] | None = None
    before_loss: tuple[Bar | Position | None, ...] = ()
    timed_events: int = 0

    def begin(self, timeframe: str) -> deque[Bar]:
        """Begin to keep the bars of a timeframe. Raises DecodeError where it is none, or one too many."""
        check_timeframe(timeframe)
        if len(self.recent) >= MOST_TIMEFRAMES_KNOWN:
            raise DecodeError("too_many_timeframes", f"{self.symbol} has {MOST_TIMEFRAMES_KNOWN} already")
        kept = self.kept if len(self.recent) < MOST_TIMEFRAMES else 1
        self.recent[timeframe] = deque(maxlen=kept)
        self.steps[timeframe] = step_of(timeframe) or timedelta.max
        return self.recent[timeframe]

    def keep(self, count: int) -> None:
        """Keep at least so many bars of each timeframe from now on, up to 1,000."""
        count = min(count, KEPT_AT_MOST)
        if count <= self.kept:
            return
        self.kept = count
        for timeframe, bars in list(self.recent.items())[:MOST_TIMEFRAMES]:
            self.recent[timeframe] = deque(bars, maxlen=count)

    def lost(self) -> None:
        """Note that from here on nothing could be heard."""
        bars = (kept[-1] for kept in self.recent.values() if kept)
        self.before_loss = (*bars, self.bar_position, self.trade_position)

    def was_lost_after(self, last: Bar | Position | None) -> bool:
        """Tell whether this was heard last before the connection was lost."""
        return last is not None and any(each is last for each in self.before_loss)

    def last_bars(self) -> dict[str, datetime]:
        """Return the newest bar's timestamp per timeframe."""
        return {timeframe: bars[-1].timestamp for timeframe, bars in self.recent.items() if bars}

    def warm_up_bars(self, count: int, seen: Mapping[str, datetime]) -> list[Bar]:
        """Return the last `count` bars of each timeframe that are newer than `seen`, in time's order."""
        chosen = [
            bar
            for timeframe, bars in self.recent.items()
            for bar in list(bars)[max(len(bars) - count, 0) :]
            if timeframe not in seen or bar.timestamp > seen[timeframe]
        ]
        return sorted(chosen, key=lambda bar: bar.timestamp)
