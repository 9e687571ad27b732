"""Marks what executions hold by every bar and trade that flows by, and says what they are worth and when."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, datetime

from msgspec import Struct

from models.portfolio import TradingDay, Valuation
from models.portfolio_execution import Execution
from services.portfolio.decisions import Market
from services.portfolio.ledger import valued
from services.portfolio.price_feed import Mark, PriceFeed
from services.portfolio.progress import on_day


class Snapshot(Struct, frozen=True, kw_only=True):
    """What an execution held and was worth at one moment."""

    execution: Execution
    value: Valuation
    day: TradingDay
    at: datetime


class PositionMonitor:
    """The prices of the symbols that executions are about. For the portfolio thread.

    `route` has the data thread tell a feed of its symbol from now on, `unroute` no more; `mark` hears of
    every price, and `day_of` names the trading day of a moment in UTC.
    """

    def __init__(
        self,
        route: Callable[[PriceFeed], None],
        unroute: Callable[[PriceFeed], None],
        mark: Mark,
        check_seconds: float,
        day_of: Callable[[datetime], date] = datetime.date,
    ) -> None:
        self._route = route
        self._unroute = unroute
        self._mark = mark
        self._day_of = day_of
        self._check_seconds = check_seconds
        self._feeds: dict[str, PriceFeed] = {}
        self._followers: Counter[str] = Counter()
        self._due: dict[str, float] = {}

    def follow(self, execution: Execution) -> None:
        """Have the prices of an execution's symbols from now on."""
        if execution.key in self._due:
            return
        self._due[execution.key] = 0.0
        for symbol in execution.config.symbols:
            self._followers[symbol] += 1
            if symbol not in self._feeds:
                feed = self._feeds[symbol] = PriceFeed(symbol, self._mark)
                self._route(feed)

    def forget(self, execution: Execution) -> None:
        """Have the prices no more that only this execution needed."""
        if self._due.pop(execution.key, None) is None:
            return
        for symbol in execution.config.symbols:
            self._followers[symbol] -= 1
            if not self._followers[symbol]:
                self._unroute(self._feeds.pop(symbol))

    def news(self) -> set[str]:
        """Return the symbols that a price came of since the last time."""
        found = set()
        for symbol, feed in self._feeds.items():
            if feed.seen:
                feed.seen = False  # before the price is read: one that comes meanwhile is looked at again
                found.add(symbol)
        return found

    def market(self, symbols: Iterable[str], now: datetime) -> Market:
        """Return what is known of these symbols."""
        feeds = [self._feeds[symbol] for symbol in symbols if symbol in self._feeds]
        return Market(
            now=now,
            prices={feed.symbol: price for feed in feeds if (price := feed.price) is not None},
            closes={feed.symbol: feed.recent_closes() for feed in feeds},
        )

    def value(self, execution: Execution) -> Valuation:
        """Value an execution at the prices of this moment. From any thread."""
        feeds = [self._feeds.get(symbol) for symbol in execution.ledger.holdings]
        prices = {feed.symbol: price for feed in feeds if feed is not None and (price := feed.price)}
        return valued(execution.ledger, prices)

    def snapshot(self, execution: Execution, now: datetime) -> Snapshot:
        """Value an execution at the prices of this moment, its day brought forward."""
        value = self.value(execution)
        changed, day = on_day(execution, self._day_of(now), value.equity)
        return Snapshot(execution=changed, value=value, day=day, at=now)

    def snapshot_due(self, execution: Execution, monotonic: float) -> bool:
        """Whether the time for the next snapshot has come; if so, the one after it is set."""
        if monotonic < self._due.get(execution.key, 0.0):
            return False
        self._due[execution.key] = monotonic + self._check_seconds
        return True
