"""The worker's risk checks in a backtest: the same book and guard, told the time by the market."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from models.execution import ExecutionReport
from models.market_data import Bar, Trade
from models.session import AssetType
from models.signal import Signal
from services.history.options import RiskRules
from services.risk.account import Account, Books
from services.risk.book import RiskBook
from services.risk.day_watch import DayWatch
from services.risk.desk import RiskDesk
from services.risk.events import SESSIONS
from services.risk.guard import Guard

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _NeverHalted:
    """The kill switch of a past in which nobody can press one."""

    reason: str | None = None
    is_known: bool = True


class RiskOffice:
    """What signals of a backtest meet on their way out. `now` is the market's time."""

    def __init__(self, rules: RiskRules, now: Callable[[], datetime], cash: float) -> None:
        self._now = now
        book = RiskBook(
            DayWatch(rules.limits, rules.day_start),
            rules.most_per_second,
            lambda: _seconds(now()),
            now,
        )
        switch = _NeverHalted()
        self._desk = RiskDesk(rules.limits, book, switch, lambda _: None, now=now)
        self._guard = Guard(self._desk, switch, checks_sessions=True)
        book.remember({})
        account = Account(limits=rules.limits, fixed_value=rules.portfolio_value)
        book.open(SESSIONS, account, Books(cash=Decimal(repr(cash))))

    def vet(self, signal: Signal, asset_type: AssetType) -> tuple[Signal, str | None]:
        """Return a signal as it may be sent, and why it may not."""
        return self._guard.vet(signal, asset_type)

    def mark(self, event: Bar | Trade) -> None:
        """Take the price of an event, at its time."""
        price = event.close if isinstance(event, Bar) else event.price
        self._desk.mark(event.symbol, price, _seconds(event.timestamp))
        self._desk.book.look()  # as the worker does all the time: days begin, and losses halt

    def release(self, signal_id: str) -> None:
        """Have a signal reserved no more that was not taken."""
        self._guard.release(signal_id)

    def settle(self, report: ExecutionReport) -> None:
        """Take the end of a signal."""
        self._guard.settle(report)


def _seconds(moment: datetime) -> float:
    return (moment - EPOCH).total_seconds()
