"""Microseconds of processor time of a risk check: the rules alone, and all that an order waits for."""

import time as clock
from datetime import time
from decimal import Decimal, localcontext

from benchmarks.effort import Effort
from benchmarks.rows import Floor, Goal, MeasurementError, Row, compare
from models.portfolio import EXACT
from models.risk import Approved, Limits, Order
from models.signal import Action
from services.risk.account import Account, Books
from services.risk.book import RiskBook
from services.risk.checks import Snapshot, check
from services.risk.day_watch import DayWatch
from services.risk.lines import Line

SYMBOLS = 100
CHECKS = 2_000
BUDGET = 5.0
PRICE = Decimal("100.25")
LIMITS = Limits(
    min_order=Decimal(100),
    max_order=Decimal(100_000),
    max_position=Decimal("0.30"),
    max_exposure=Decimal(1_000_000),
    max_daily_loss=Decimal("0.05"),
    max_daily_loss_amount=Decimal(50_000),
    stop_loss_buffer=Decimal("0.02"),
    price_max_age=180.0,
)
SIDES: tuple[Action, Action] = ("BUY", "SELL")


def checks(_url: str, effort: Effort) -> list[Row]:
    """Compare with the time that a check may take, orders that grow and orders that close in turn."""
    rules, whole = [], []
    for _ in range(effort.rounds):
        rules.append(_rules())
        whole.append(_judged())
    budget = Floor(f"the budget of {BUDGET:g} µs", [BUDGET] * effort.rounds)
    held = f"{SYMBOLS} positions, a new price before each"
    return [
        compare("risk: the rules over a snapshot", "µs", rules, budget, Goal(1.0, less_is_better=True)),
        compare(f"risk: snapshot, rules and reservation, {held}", "µs", whole, budget, None),
    ]


def _order(number: int) -> Order:
    return Order(
        order_id=str(number),
        owner=f"session-{number % SYMBOLS}",
        symbol=f"S{number % SYMBOLS}",
        side=SIDES[number // SYMBOLS % 2],
        quantity=Decimal(5),
        price=PRICE,
    )


def _rules() -> float:
    """Return the microseconds of one call of `check`."""
    line = Line(held=Decimal(10))
    seen = Snapshot(
        line, Decimal(0), PRICE, 0.5, Decimal(100_000), Decimal(100_000), sent=0, most_sent=1_000, losses=()
    )
    orders = [_order(number) for number in range(CHECKS)]
    with localcontext(EXACT):
        began = clock.thread_time()
        for order in orders:
            verdict = check(order, seen, LIMITS)
        seconds = clock.thread_time() - began
    if not isinstance(verdict, Approved):
        raise MeasurementError("an order was not approved")
    return seconds / CHECKS * 1e6


def _judged() -> float:
    """Return the microseconds of judging and reserving one order at a price that has just come."""
    book = RiskBook(DayWatch(LIMITS, time()), CHECKS * 2)
    book.remember({})
    held = {(f"session-{number}", f"S{number}"): Decimal(10) for number in range(SYMBOLS)}
    for number in range(SYMBOLS):
        book.marks.tell(f"S{number}", 100.0, clock.monotonic())
    book.open("sessions", Account(limits=LIMITS, fixed_value=Decimal(100_000)), Books(held=held))
    seconds = 0.0
    for start in range(0, CHECKS, SYMBOLS):
        orders = [_order(number) for number in range(start, start + SYMBOLS)]
        for order in orders:
            book.marks.tell(order.symbol, 100.0 + start % 7 / 100, clock.monotonic())
        began = clock.thread_time()
        verdicts = [book.judge(order, "sessions") for order in orders]
        seconds += clock.thread_time() - began
        if refused := [verdict for verdict in verdicts if not isinstance(verdict, Approved)]:
            raise MeasurementError(f"orders were not approved: {refused[0]}")
        for order in orders:
            book.release(order.order_id)
    return seconds / CHECKS * 1e6
