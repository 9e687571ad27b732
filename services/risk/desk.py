"""The desk that everybody asks before an order goes out. See the package for what it offers."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal

import structlog

from models.execution import ExecutionReport
from models.execution_plan import RiskParams
from models.portfolio import Ledger
from models.risk import Limits, Order, Refused, Rule, Verdict
from models.risk_event import RiskEvent
from services.risk.account import Account, Books
from services.risk.book import RiskBook
from services.risk.events import event_of_day, event_of_resume, event_of_stop_loss, events_of, is_plain
from services.risk.kill_switch import Switch

log = structlog.get_logger(__name__)


class RiskDesk:
    """Judges orders of accounts by the worker's limits, and has recorded what is worth it.

    `record` takes events and never waits. Safe from every thread; `check` and `mark` never wait either.
    `recall` finds out, by asking the store, how another worker left the accounts that are opened next; it
    raises StorageUnavailable.
    """

    def __init__(  # noqa: PLR0913 — the last two have defaults for tests
        self,
        limits: Limits,
        book: RiskBook,
        switch: Switch,
        record: Callable[[RiskEvent], None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        recall: Callable[[], None] = lambda: None,
    ) -> None:
        self.recall = recall
        self.limits = limits
        self.book = book
        self.mark = book.marks.tell
        self._switch = switch
        self._record = record
        self._now = now

    def open(self, account: str, own: RiskParams, ledger: Ledger, in_flight: Iterable[Order] = ()) -> None:
        """Measure an execution from now on: by its own limits where they are tighter, from these books."""
        books = Books(
            cash=ledger.cash,
            held={(account, symbol): each.quantity for symbol, each in ledger.holdings.items()},
            prices={symbol: each.last_price for symbol, each in ledger.holdings.items()},
            in_flight=tuple(in_flight),
        )
        self.book.open(account, Account(limits=self.limits.tightened(own)), books)

    def close(self, account: str) -> None:
        """Measure an execution no longer; what it lost today still counts for everything together."""
        self.book.close(account)

    def check(self, order: Order, account: str) -> Verdict:
        """Judge an order, and reserve what may go out of it until `settle` or `release`."""
        if (refusal := self.stopped(order, account)) is not None:
            return refusal
        verdict = self.book.judge(order, account)
        if not is_plain(verdict):
            for event in events_of(verdict, order, account, self._now()):
                self._record(event)
        if self.book.news:
            self.tell_news()
        return verdict

    def stopped(self, order: Order, account: str) -> Refused | None:
        """Return why nothing at all may go out, None where orders may."""
        if (reason := self._switch.reason) is None:
            return None
        refusal = Refused(rule=Rule.KILL_SWITCH, detail=reason)
        for event in events_of(refusal, order, account, self._now()):
            self._record(event)
        return refusal

    def release(self, order_id: str) -> None:
        """Have an order in flight no more that was never given to the outbox."""
        self.book.release(order_id)

    def fill(self, order_id: str, quantity: Decimal, price: Decimal) -> None:
        """Book a part of an order that was executed."""
        self.book.fill(order_id, quantity, price)

    def settle(self, report: ExecutionReport) -> None:
        """Take the end of an order; of orders that were never checked nothing is known here."""
        self.book.settle(report)

    def halted(self, account: str) -> str | None:
        """Return why an account may only reduce positions now, None where it may trade."""
        with self.book.holdings() as held:
            return self.book.days.halted(held, account)

    def resume(self, account: str | None, by: str = "a person") -> list[str]:
        """Lift the halt of an account, of everything when None; return whose halt was lifted."""
        lifted = self.book.resume(account)
        for name in lifted:
            self._record(event_of_resume(name, by, self._now()))
            log.warning("account_resumed", account=name, by=by)
        return lifted

    def stopped_out(self, account: str, order: Order, entry: Decimal) -> None:
        """Tell that this order closes a position, entered at this price, that has met its stop loss."""
        self._record(event_of_stop_loss(account, order, entry, self._now()))

    def tell_news(self) -> None:
        """Record what became of the days of accounts."""
        news = self.book.news
        while news:
            each = news.popleft()
            self._record(event_of_day(each, self._now()))
            if each.day.halted is not None:
                log.error("account_halted", account=each.account, reason=each.day.halted)
