"""The book of everything at stake: positions, orders in flight, prices and days, behind one lock.

What is approved is reserved under the same lock, so that orders that are asked about at once cannot pass a
limit together.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal, getcontext, localcontext, setcontext
from threading import Lock

from models.execution import ExecutionReport
from models.portfolio import EXACT, ZERO
from models.risk import Approved, Order, Reduced, Refused, Rule, Verdict
from services.risk.account import Account, Books, Reservation
from services.risk.checks import Snapshot, check
from services.risk.day_watch import EVERYTHING, DayNews, DayWatch
from services.risk.days import Day
from services.risk.holdings import Holdings
from services.risk.lines import NOTHING
from services.risk.marks import Marks

SECOND = 1.0


class RiskBook:
    """Judges orders, and keeps what it approved until it has ended. Safe from every thread.

    At most `most_per_second` orders are approved within any second. `news` are told of days by `judge` and
    `look`, for whoever takes them from it. `clock` is monotonic, `now` in UTC.
    """

    def __init__(
        self,
        days: DayWatch,
        most_per_second: int,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.marks = Marks()
        self.news: deque[DayNews] = deque()
        self.days = days
        self.clock = clock
        self._now = now
        self._holdings = Holdings(self.marks)
        self._approved: deque[float] = deque(maxlen=most_per_second)
        self._most_per_second = most_per_second
        self._remembered: dict[str, Day] | None = None
        self._is_whole = True
        self._lock = Lock()

    def open(self, name: str, account: Account, books: Books) -> None:
        """Measure an account from now on, in place of one of that name: its day begins with what it has."""
        with self.holdings() as held:
            former = held.accounts.get(name)
            if account.day is None:
                account.day = (self._remembered or {}).get(name) if former is None else former.day
            held.open(name, account, books, self.clock())
            self.days.opened(held)
            if self._remembered is not None:
                self.news.extend(self.days.look(held, self._now()))

    def close(self, name: str) -> None:
        """Measure an account no longer; what it lost today is remembered."""
        with self.holdings() as held:
            self.days.closing(held, name)
            held.close(name)

    def judge(self, order: Order, name: str) -> Verdict:
        """Judge an order of an account, and reserve what may go out of it."""
        with self._lock:
            before = getcontext()
            try:
                setcontext(EXACT)  # not `localcontext`, which copies: a third of the time
                verdict = self._judge(order, name)
            finally:
                setcontext(before)
            self._is_whole = True
        if not isinstance(verdict, Approved) and verdict.rule is Rule.DAILY_LOSS:
            self.look()
        return verdict

    def release(self, order_id: str) -> None:
        """Have nothing in flight of an order any more: it was never sent."""
        with self.holdings() as held:
            held.release(order_id)

    def fill(self, order_id: str, quantity: Decimal, price: Decimal) -> None:
        """Book a part of an order; an order that is not known changes nothing."""
        with self.holdings() as held:
            reservation = held.orders.get(order_id)
            if reservation is not None:
                held.book(reservation, quantity, quantity * price)

    def settle(self, report: ExecutionReport) -> None:
        """Take the end of an order; an order that is not known changes nothing."""
        with self.holdings() as held:
            held.end(report, self.clock())

    def look(self) -> None:
        """Open the days that have begun, and halt who has lost too much."""
        with self.holdings() as held:
            self.news.extend(self.days.look(held, self._now()))

    def resume(self, name: str | None) -> list[str]:
        """Lift the halt of an account, of everything when None; return whose halt was lifted."""
        with self.holdings() as held:
            return self.days.resume(held, name)

    def remember(self, days: Mapping[str, Day]) -> None:
        """Take the days of an earlier run: of accounts that are there, and of those that will be opened.

        Nothing is approved before it is known who was halted.
        """
        with self.holdings() as held:
            self._remembered = dict(days)
            self.days.restore(held, self._remembered)
            self.news.extend(self.days.look(held, self._now()))

    def recall(self, days: Mapping[str, Day]) -> None:
        """Take the days of accounts that are not here, for when they are opened, and a halt of everything."""
        with self.holdings() as held:
            if self._remembered is not None:
                self._remembered |= {name: day for name, day in days.items() if name not in held.accounts}
                if (whole := days.get(EVERYTHING)) is not None:
                    self.days.recall(whole)
                self.days.opened(held)

    @contextmanager
    def holdings(self) -> Iterator[Holdings]:
        """Give what is held, at the newest prices, to nobody else meanwhile. Decimal is exact within."""
        with self._lock, localcontext(EXACT):
            held = self._begin()
            yield held
            self._is_whole = True

    def _begin(self) -> Holdings:
        """Return what is held, at the newest prices; whoever is interrupted from now on has it mended."""
        held = self._holdings
        if not self._is_whole:
            held.mend()
        self._is_whole = False
        held.catch_up()
        return held

    def _judge(self, order: Order, name: str) -> Verdict:
        held, at = self._begin(), self.clock()
        account = held.accounts.get(name)
        if account is None or self._remembered is None or order.order_id in held.orders:
            return _unfit(order, name, is_in_flight=order.order_id in held.orders)
        seen = self._seen(held, account, name, order, at)
        verdict = check(order, seen, account.limits)
        if not isinstance(verdict, Refused):
            quantity = verdict.quantity if isinstance(verdict, Reduced) else order.quantity
            mark = held.marks.value_at(order.symbol) if seen.mark is None else seen.mark
            price = order.price if seen.mark is None or mark < order.price else mark
            held.reserve(Reservation(order, name, price, quantity, at), seen.line, mark)
            self._approved.append(at)
        return verdict

    def _seen(self, held: Holdings, account: Account, name: str, order: Order, at: float) -> Snapshot:
        (mark, heard_at), stake = held.marks.quote(order.symbol), held.tally.stake(name, order.symbol)
        if stake is None:
            line, others = NOTHING, ZERO
        else:
            if mark is not None and stake.mark is not mark:  # one that came a moment ago
                held.tally.revalue(order.symbol, mark)
            line, others = stake.seen_by(order.owner)
        approved = self._approved
        while approved and approved[0] <= at - SECOND:
            approved.popleft()
        return Snapshot(
            line,
            others,
            mark,
            None if heard_at is None else at - heard_at,
            held.value(name) if account.fixed_value is None else account.fixed_value,
            held.tally.exposure,
            len(approved),
            self._most_per_second,
            self.days.losses(held, account, name),
        )


def _unfit(order: Order, name: str, *, is_in_flight: bool) -> Refused:
    detail = f"what the account {name} holds, and whether it is halted, is not known yet"
    if is_in_flight:
        detail = f"order {order.order_id} is on its way already"
    return Refused(rule=Rule.MISSING_DATA, detail=detail)
