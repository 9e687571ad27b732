"""The latest price and the recent closes of one symbol, as they flow by on the data thread."""

import math
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from models.market_data import Bar, Trade
from models.portfolio import decimal_of
from models.session import SessionIdentity, SessionState
from services.portfolio.entry_rules import CLOSES_WANTED
from services.routing import Router
from services.turn import Errand, Letter

if TYPE_CHECKING:
    from services.session import Session

MOST_TIMEFRAMES = 16
DEADLINE_SECONDS = 5.0
# What is beyond cannot be booked: a price of 12 decimals would be zero, or larger than the tables hold.
SMALLEST_PRICE, LARGEST_PRICE = 1e-12, 1e18

Mark = Callable[[str, float, float], None]


class PriceFeed:
    """What the portfolio thread wants to know of a symbol; on the symbol's route it stands like a session.

    The data thread only stores here; what it stores is replaced whole, so that any thread may read it. `seen`
    is set with every price, and cleared by whoever looked. `mark` tells the risk desk of every price: symbol,
    price, and when, in monotonic seconds.
    """

    state = SessionState.RUNNING
    __slots__ = (
        "_has_left",
        "_latest",
        "_mark",
        "bars",
        "closes",
        "deadline",
        "identity",
        "seen",
        "symbol",
        "trades",
    )

    def __init__(self, symbol: str, mark: Mark) -> None:
        self.symbol = symbol
        self._mark = mark
        self.identity = SessionIdentity(
            key=f"portfolio:{symbol}",
            symbol=symbol,
            asset_type="stock",
            strategy_id="portfolio",
            session_id=None,
            started_at=datetime.now(UTC),
        )
        self.deadline = DEADLINE_SECONDS
        self.bars = self.trades = 0
        self.closes: dict[str, deque[float]] = {}
        self.seen = False
        self._has_left = False
        self._latest: tuple[float, float] | None = None

    def on_bar(self, bar: Bar) -> None:
        """Take a bar: its close is the price."""
        self._keep(bar)
        self._take(bar.close, time.monotonic())

    def on_trade(self, trade: Trade) -> None:
        """Take a trade's price."""
        self._take(trade.price, time.monotonic())

    def handle(self, event: Letter) -> None:
        """Take a letter: an errand is done, a gap is no matter here."""
        if isinstance(event, Errand):
            event.perform(self)

    def failed(self, error: BaseException) -> None:
        """Take note that a call of this was interrupted: the next price counts."""

    def end(self, state: SessionState, reason: str) -> None:
        """Do nothing: this runs nobody's code, so there is nothing to end."""

    def join(self, router: Router) -> None:
        """Take over what is known of the symbol, and be told of all that follows. On the data thread."""
        feed = router.feed(self.symbol)
        for bars in feed.recent.values():
            for bar in bars:
                self._keep(bar)
        if feed.last_price is not None:
            self._take(feed.last_price, feed.heard_at)
        feed.keep(CLOSES_WANTED)
        router.add(self.symbol, cast("Session", self), feed)
        if self._has_left:  # before it was there
            self.leave(router)

    def leave(self, router: Router) -> None:
        """Be told nothing any more, also where `join` has still to be done. From any thread."""
        self._has_left = True
        router.remove(self.symbol, cast("Session", self))

    @property
    def price(self) -> Decimal | None:
        """The price that was heard of last; None before the first, and where it is beyond all measure."""
        latest = self._latest
        return None if latest is None else decimal_of(latest[0])

    def recent_closes(self) -> tuple[float, ...]:
        """Return the closes of the timeframe of which there are most bars, the newest last."""
        kept = list(self.closes.copy().values())
        return tuple(max(kept, key=len).copy()) if kept else ()

    def _take(self, price: float, at: float) -> None:
        if SMALLEST_PRICE <= price <= LARGEST_PRICE:
            self._latest = price, at
            self._mark(self.symbol, price, at)
        else:  # the price is not known: nothing is decided by the one before either
            self._latest = None
            self._mark(self.symbol, math.nan, at)
        self.seen = True

    def _keep(self, bar: Bar) -> None:
        closes = self.closes.get(bar.timeframe)
        if closes is None:
            if len(self.closes) >= MOST_TIMEFRAMES:
                return
            closes = self.closes[bar.timeframe] = deque(maxlen=CLOSES_WANTED)
        closes.append(bar.close)
