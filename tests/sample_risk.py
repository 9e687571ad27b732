"""Orders, limits, snapshots and books of risk for tests, each with what a test does not care about."""

import itertools
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from models.execution import ExecutionReport
from models.risk import Limits, Order
from models.signal import Action
from services.risk.account import Account, Books, Lot
from services.risk.book import RiskBook
from services.risk.checks import Snapshot
from services.risk.day_watch import DayWatch
from services.risk.days import Day
from services.risk.lines import Line

MONDAY = datetime(2026, 1, 26, 15, tzinfo=UTC)
_numbers = itertools.count(1)


def limits(**changes: Any) -> Limits:
    """The defaults of the settings: orders of 100 to 100,000, 30 % of a position, 5 % a day."""
    fields: dict[str, Any] = {
        "min_order": Decimal(100),
        "max_order": Decimal(100_000),
        "max_position": Decimal("0.3"),
        "max_exposure": Decimal(1_000_000),
        "max_daily_loss": Decimal("0.05"),
        "max_daily_loss_amount": Decimal(50_000),
        "stop_loss_buffer": Decimal("0.02"),
        "price_max_age": 180.0,
    }
    return Limits(**{**fields, **changes})


def order(side: Action = "BUY", quantity: str = "10", price: str = "100", **changes: Any) -> Order:
    """An order of session s1 for AAPL."""
    fields: dict[str, Any] = {"order_id": f"order-{next(_numbers)}", "owner": "s1", "symbol": "AAPL"}
    return Order(side=side, quantity=Decimal(quantity), price=Decimal(price), **{**fields, **changes})


def seen(line: Line | None = None, mark: str | None = "100", **changes: Any) -> Snapshot:
    """A portfolio worth 1,000,000 in which nothing else is at stake, its price just heard of."""
    line = line or Line()
    fields: dict[str, Any] = {
        "line": line,
        "others": Decimal(0),
        "mark": None if mark is None else Decimal(mark),
        "price_age": None if mark is None else 0.0,
        "portfolio": Decimal(1_000_000),
        "exposure": line.worst(Decimal(mark or 0)),
        "sent": 0,
        "most_sent": 10,
        "losses": (),
    }
    return Snapshot(**{**fields, **changes})


class Now:
    """A clock that a test turns: seconds and the moment go together."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.moment = MONDAY

    def clock(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.moment


def make_book(  # noqa: PLR0913 — a test names what it is about, and nothing else
    held: dict[Lot, Decimal] | None = None,
    prices: dict[str, str] | None = None,
    *,
    account: Account | None = None,
    now: Now | None = None,
    most_per_second: int = 1_000_000,
    days: dict[str, Day] | None = None,
    **changes: Any,
) -> RiskBook:
    """A book with one account, `main`, of 100,000 in cash, whose day has begun; AAPL is at 100."""
    now = now or Now()
    known = limits(**changes)
    book = RiskBook(DayWatch(known, time()), most_per_second, now.clock, now.now)
    book.remember(days or {})
    for symbol, price in (prices or {"AAPL": "100"}).items():
        book.marks.tell(symbol, float(price), now.seconds)
    books = Books(cash=Decimal(100_000), held=held or {})
    book.open("main", account or Account(limits=known), books)
    book.look()
    return book


def filled(
    given: Order, quantity: str | None = None, price: str | None = None, **changes: Any
) -> ExecutionReport:
    """The report of an order that was executed, whole and at its price, but for the changes."""
    return ExecutionReport(
        signal_id=given.order_id,
        symbol=given.symbol,
        action=given.side,
        quantity=float(given.quantity),
        **{
            "status": "filled",
            "filled_quantity": float(quantity or given.quantity),
            "filled_price": float(price or given.price),
            **changes,
        },
    )


def ended(given: Order, status: Any) -> ExecutionReport:
    """The report of an order of which nothing was filled."""
    return ExecutionReport(
        signal_id=given.order_id,
        symbol=given.symbol,
        action=given.side,
        quantity=float(given.quantity),
        status=status,
        reason="of this test",
    )
