"""Notices what was missed: lost connections, holes in a channel's numbering, missing bars, silent feeds."""

import time
from datetime import UTC, datetime, timedelta
from typing import Literal

import structlog

from models.gap import Gap
from models.market_data import Bar, Trade
from services.gap_detection import DUPLICATE, Missed, Position, after, missing_bars
from services.mailbox import Mailbox
from services.routing import Router, sessions_of
from services.symbol_feed import SymbolFeed
from services.telemetry.logs import Throttle
from services.telemetry.metrics import EventCounters

LOG_SECONDS = 60.0

log = structlog.get_logger(__name__)


class GapWatch:
    """Counts gaps and tells the sessions concerned. For the data thread alone.

    Where it `fences`, a symbol's sessions send nothing after a gap until one full bar interval was seen.
    `stale_seconds` of silence on a routed symbol are worth a line in the log; 0 for never. Both are set once,
    before the thread starts.
    """

    def __init__(self, router: Router, mailbox: Mailbox, counters: EventCounters) -> None:
        self.fences = False
        self.stale_seconds = 0.0
        self._router = router
        self._mailbox = mailbox
        self._counters = counters
        self._throttle = Throttle(LOG_SECONDS)
        self._look_at = 0.0

    def reconnected(self, silent_seconds: float) -> None:
        """Note that no message of any channel could be heard for so long."""
        self._counters.gaps["bars"] += 1
        self._counters.gaps["trades"] += 1
        until = datetime.now(UTC)
        since = until - timedelta(seconds=silent_seconds)
        for feed in {id(route.feed): route.feed for route in self._router.table.values()}.values():
            feed.lost()
            self._tell(feed, "connection", since, until, Missed(None, "connection_lost"))

    def takes_bar(self, feed: SymbolFeed, last: Bar | None, bar: Bar) -> bool:
        """Compare a bar with the last of its timeframe; false for one that was there before."""
        if bar.seq is not None:
            if not self.takes_number(feed, last, bar):
                return False
        elif last is not None and (missing := missing_bars(bar.timeframe, last.timestamp, bar.timestamp)):
            self._count("bars", feed, last)
            self._tell(feed, "bars", last.timestamp, bar.timestamp, Missed(missing, "missing_bars"))
        if feed.fenced_for is not None:
            self._seen(feed, bar.timeframe)
        return True

    def takes_number(self, feed: SymbolFeed, last: Bar | None, bar: Bar) -> bool:
        """Compare a bar's number, if it has one, with the last of its channel; false for one seen before."""
        if bar.seq is None:
            return True
        feed.detection = "exact"
        before, now = feed.bar_position, Position(bar.epoch, bar.seq)
        missed = after(before, now)
        if missed is DUPLICATE:
            return False
        feed.bar_position = now
        if missed is not None:
            self._count("bars", feed, before)
            since = min(last.timestamp, bar.timestamp) if last else bar.timestamp
            self._tell(feed, "bars", since, bar.timestamp, missed)
        return True

    def takes_trade(self, feed: SymbolFeed, trade: Trade) -> bool:
        """Compare a trade with the last one's number; false for one that was there before."""
        if trade.seq is None:
            return True
        before, now = feed.trade_position, Position(trade.epoch, trade.seq)
        missed = after(before, now)
        if missed is DUPLICATE:
            return False
        feed.trade_position = now
        if missed is not None:
            self._count("trades", feed, before)
            self._tell(feed, "trades", trade.timestamp, trade.timestamp, missed)
        return True

    def look_for_silence(self) -> None:
        """Log the routed symbols that nothing was heard of for too long; looks at most once a second."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + 1.0
        for symbol, seconds in self._router.silent(self.stale_seconds).items():
            self._throttle.log(log.warning, "feed_silent", key=symbol, symbol=symbol, seconds=round(seconds))

    def _count(
        self, stream: Literal["bars", "trades"], feed: SymbolFeed, last: Bar | Position | None
    ) -> None:
        """Count a gap after `last`, but for one that a lost connection made and that was counted then."""
        if not feed.was_lost_after(last):
            self._counters.gaps[stream] += 1

    def _tell(
        self,
        feed: SymbolFeed,
        stream: Literal["bars", "trades", "connection"],
        since: datetime,
        until: datetime,
        missed: Missed,
    ) -> None:
        if self.fences:
            feed.fenced_for = set()
        gap = Gap(
            stream=stream,
            symbol=feed.symbol,
            since=since,
            until=until,
            reason=missed.reason,
            missed=missed.messages,
        )
        told = sessions_of(self._router.table, feed.symbol)
        for session in told:
            self._mailbox.post(session, gap)
        self._throttle.log(
            log.warning,
            "gap",
            key=f"{feed.symbol}|{missed.reason}",
            symbol=feed.symbol,
            stream=stream,
            reason=missed.reason,
            missed=missed.messages,
            sessions=len(told),
        )

    def _seen(self, feed: SymbolFeed, timeframe: str) -> None:
        """Lift the fence at the second bar of a timeframe since the gap: one whole interval was seen."""
        if feed.fenced_for is not None and timeframe in feed.fenced_for:
            feed.fenced_for = None
        elif feed.fenced_for is not None:
            feed.fenced_for.add(timeframe)
