"""Reads messages into events of a symbol: decoded, checked, and newer than the last; the rest is counted."""

from datetime import UTC, datetime, timedelta

import structlog

from models.errors import DecodeError
from models.market_data import Bar, Trade
from services.dead_letters import DeadLetters
from services.gap_watch import GapWatch
from services.symbol_feed import SymbolFeed
from services.telemetry.logs import Throttle
from services.telemetry.metrics import EventCounters

LOG_SECONDS = 10.0
NO_TIME = timedelta()
FURTHEST_AHEAD = timedelta(hours=24)

log = structlog.get_logger(__name__)


class EventReader:
    """Reads what comes on the channels of a symbol. For the data thread alone.

    What is refused raises DecodeError and is then given to `refuse`, which counts and keeps it. What is more
    than 24 hours ahead of the clock here is refused too: everything after it would be a duplicate.
    """

    def __init__(self, counters: EventCounters, gaps: GapWatch, dead_letters: DeadLetters) -> None:
        self._counters = counters
        self._gaps = gaps
        self._dead_letters = dead_letters
        self._throttle = Throttle(LOG_SECONDS)
        self._latest = datetime.max.replace(tzinfo=UTC)

    def begin(self) -> None:
        """Take note of the time, before a few hundred messages at most are read."""
        self._latest = datetime.now(UTC) + FURTHEST_AHEAD

    def bar(self, feed: SymbolFeed, payload: bytes) -> Bar | None:
        """Read a bar; None for one that is not newer than the last of its timeframe. Raises DecodeError."""
        bar = Bar.decode(payload)
        if bar.symbol != feed.symbol:
            raise DecodeError("symbol_mismatch", f"a bar of {bar.symbol!r} on the channel of {feed.symbol!r}")
        timestamp = bar.timestamp
        if timestamp > self._latest:
            raise _from_the_future(bar)
        timeframe = bar.timeframe
        recent = feed.recent.get(timeframe)
        if recent is None:
            recent = feed.begin(timeframe)
        last, late = None, False
        if recent:
            last = recent[-1]
            since_last = timestamp - last.timestamp
            if since_last <= NO_TIME:
                self._gaps.takes_number(feed, last, bar)
                self._counters.dropped["duplicate"] += 1
                return None
            late = since_last > feed.steps[timeframe]
        worth_a_look = late or bar.seq is not None or feed.fenced_for is not None
        if worth_a_look and not self._gaps.takes_bar(feed, last, bar):
            self._counters.dropped["duplicate"] += 1
            return None
        recent.append(bar)
        feed.last_price = bar.close
        return bar

    def trade(self, feed: SymbolFeed, payload: bytes) -> Trade | None:
        """Read a trade; None for one whose number was there before. Raises DecodeError."""
        trade = Trade.decode(payload)
        if trade.symbol != feed.symbol:
            raise DecodeError(
                "symbol_mismatch", f"a trade of {trade.symbol!r} on the channel of {feed.symbol!r}"
            )
        if trade.timestamp > self._latest:
            raise _from_the_future(trade)
        if not self._gaps.takes_trade(feed, trade):
            self._counters.dropped["duplicate"] += 1
            return None
        feed.last_price = trade.price
        return trade

    def refuse(self, channel: str, payload: bytes, error: DecodeError) -> None:
        """Count a message that cannot be read, keep it, and say so now and then."""
        self._counters.rejected[error.reason] += 1
        self._dead_letters.add(channel, error.reason, payload)
        self._throttle.log(
            log.warning,
            "market_data_refused",
            key=error.reason,
            channel=channel,
            reason=error.reason,
            detail=error.detail,
        )


def _from_the_future(event: Bar | Trade) -> DecodeError:
    ahead = FURTHEST_AHEAD // timedelta(hours=1)
    return DecodeError(
        "future", f"{event.timestamp.isoformat()} is more than {ahead} h ahead of the clock here"
    )
