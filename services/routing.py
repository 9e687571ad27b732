"""Who is told of which channel: an immutable table, swapped whole."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING

from services.symbol_feed import SymbolFeed

if TYPE_CHECKING:
    from services.session import Session

BAR_CHANNEL = b"market_data:"
TRADE_CHANNEL = b"market_trades:"
PATTERNS = ("market_data:*", "market_trades:*")


@dataclass(frozen=True, slots=True)
class Route:
    """The sessions that one channel's events go to."""

    feed: SymbolFeed
    sessions: tuple["Session", ...]
    carries_bars: bool

    def left_of(self, now: "Route | None") -> "Route":
        """Return the route without those that the table no longer names; itself where it names them all."""
        if now is self:
            return self
        named = set() if now is None else {id(session) for session in now.sessions}
        left = tuple(session for session in self.sessions if id(session) in named)
        return self if len(left) == len(self.sessions) else Route(self.feed, left, self.carries_bars)


RoutingTable = Mapping[bytes, Route]

NO_ROUTES: RoutingTable = MappingProxyType({})


class Router:
    """Holds the table in force, and swaps it for one with a session more or less.

    The data thread reads `table` for every message, without a lock; changes come from any thread.
    """

    __slots__ = ("_closed", "_lock", "table")

    def __init__(self) -> None:
        self.table: RoutingTable = NO_ROUTES
        self._lock = Lock()
        self._closed = False

    def add(self, symbol: str, session: "Session", feed: SymbolFeed | None = None) -> None:
        """Route the symbol's events to this session too, and begin with this feed where there is none."""
        with self._lock:
            if not self._closed:
                told = (*sessions_of(self.table, symbol), session)
                self.table = with_sessions(self.table, symbol, told, feed)

    def feed(self, symbol: str) -> SymbolFeed:
        """Return what is known of a symbol, a new feed where that is nothing."""
        route = self.table.get(BAR_CHANNEL + symbol.encode())
        return SymbolFeed(symbol) if route is None else route.feed

    def remove(self, symbol: str, session: "Session") -> None:
        """Route nothing to this session any more."""
        with self._lock:
            told = tuple(each for each in sessions_of(self.table, symbol) if each is not session)
            self.table = with_sessions(self.table, symbol, told)

    def feed_age(self) -> float | None:
        """Return the seconds since any routed symbol was heard of, or None when none is routed."""
        heard = [route.feed.heard_at for route in self.table.values()]
        return time.monotonic() - max(heard) if heard else None

    def silent(self, limit: float) -> dict[str, float]:
        """Return for how many seconds routed symbols were not heard of, of those over `limit`; 0 for none."""
        if limit <= 0:
            return {}
        now = time.monotonic()
        silences = {route.feed.symbol: now - route.feed.heard_at for route in self.table.values()}
        return {symbol: seconds for symbol, seconds in silences.items() if seconds > limit}

    def close(self) -> None:
        """Route nothing to anybody from now on."""
        with self._lock:
            self._closed = True
            self.table = NO_ROUTES


def sessions_of(table: RoutingTable, symbol: str) -> tuple["Session", ...]:
    """Return who is told of a symbol's bars and trades."""
    route = table.get(BAR_CHANNEL + symbol.encode())
    return () if route is None else route.sessions


def with_sessions(
    table: RoutingTable, symbol: str, told: tuple["Session", ...], feed: SymbolFeed | None = None
) -> RoutingTable:
    """Return the table in which `symbol` goes to exactly these sessions; the feed's knowledge is kept."""
    bars, trades = BAR_CHANNEL + symbol.encode(), TRADE_CHANNEL + symbol.encode()
    changed = dict(table)
    if not told:
        changed.pop(bars, None)
        changed.pop(trades, None)
        return changed
    feed = table[bars].feed if bars in table else feed or SymbolFeed(symbol)
    changed[bars] = Route(feed, told, carries_bars=True)
    changed[trades] = Route(feed, told, carries_bars=False)
    return changed
