"""What a session remembers beside its strategy, and where it got it from."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from models.execution import ExecutionReport
from models.lease import UNLEASED
from models.saved_state import SavedState
from services.symbol_feed import SymbolFeed

NEVER_SAVED = "nothing was saved"


@dataclass(slots=True)
class SessionMemory:
    """How a session began, and what of it was saved last.

    `open_signals` are the ids of its signals that have no answer yet, `unresolved` of those whose outcome is
    unknown. The answer of those that are `counted` is in the restored position already: it was booked and
    saved before a crash, and not yet written in the table. `restored` tells whether `set_state` was given a
    state; else `reason` says why not. `seen` holds the newest bar per timeframe that the state had seen when
    it was saved. `saved` is what was handed in to be saved last, `fence` the number of the lease that it is
    saved under; `feeds` what its bars come from, its own symbol's first; none before it is routed.
    """

    open_signals: set[str] = field(default_factory=set)
    unresolved: set[str] = field(default_factory=set)
    counted: set[str] = field(default_factory=set)
    restored: bool = False
    reason: str | None = NEVER_SAVED
    seen: dict[str, datetime] = field(default_factory=dict)
    saved: SavedState | None = None
    fence: int = UNLEASED
    feeds: tuple[SymbolFeed, ...] = ()
    is_warming_up: bool = False
    warm_up_bars: int = 0
    warm_up_signals: int = 0
    _answered: object = None
    _sent: list[str] = field(default_factory=list)

    def waits_for(self, signal_id: str) -> bool:
        """Whether this very decision was made before and is not known to be over."""
        return signal_id in self.open_signals or signal_id in self.unresolved

    def answer(self, report: ExecutionReport) -> ExecutionReport | None:
        """Take the answer to a signal; return it as it is to be told, or None where nobody waits for it."""
        if report.signal_id not in self.open_signals:
            return None
        self.open_signals.discard(report.signal_id)
        if report.status == "unknown":
            self.unresolved.add(report.signal_id)
        return replace(report, told_before=True) if report.signal_id in self.counted else report

    def note_sent(self, event: object, signal_id: str) -> None:
        """Note a signal that was sent in answer to this event."""
        if event is not self._answered:
            self._answered, self._sent = event, []
        self._sent.append(signal_id)

    def sent_in(self, event: object) -> list[str]:
        """Return the signals sent in answer to this event, if it is the last one that any was sent in."""
        return self._sent.copy() if event is self._answered else []

    def describe(self) -> dict[str, Any]:
        """Return what /sessions shows, in the names of the wire."""
        return {
            "stateRestored": self.restored,
            "stateReason": self.reason,
            "stateSavedAt": None if self.saved is None else self.saved.saved_at.isoformat(),
            "warmUpBars": self.warm_up_bars,
            "warmUpSignals": self.warm_up_signals,
            "gapDetection": self._gap_detection(),
        }

    def seen_of(self, feed: SymbolFeed) -> dict[str, datetime]:
        """Return the newest bar per timeframe of one feed that the restored state had seen."""
        named = {timeframe: self._name(feed, timeframe) for timeframe in feed.recent}
        return {timeframe: self.seen[name] for timeframe, name in named.items() if name in self.seen}

    def last_bars(self) -> dict[str, datetime]:
        """Return the newest bar per timeframe, as `seen` names it: with the symbol where it is another."""
        return {
            self._name(feed, timeframe): moment
            for feed in self.feeds
            for timeframe, moment in feed.last_bars().items()
        }

    def _name(self, feed: SymbolFeed, timeframe: str) -> str:
        return timeframe if feed is self.feeds[0] else f"{feed.symbol} {timeframe}"

    def _gap_detection(self) -> str:
        """Return how well gaps are known, never more than of the symbol of which least is."""
        known = {feed.detection for feed in self.feeds}
        return next((level for level in ("bars", "exact") if level in known), "none")
