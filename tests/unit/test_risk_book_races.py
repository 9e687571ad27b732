"""What holds for the book whatever comes: no limit is passed, nothing forgotten, interruptions do no harm."""

import random
import sys
from decimal import Decimal
from threading import Thread
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from models.risk import Order, Reduced, Refused
from services.risk.account import Account
from services.risk.book import RiskBook
from services.risk.holdings import Holdings
from tests.sample_risk import ended, filled, limits, make_book, order

THREADS, ORDERS = 8, 10_000
PRICES = {"AAPL": "100.25", "MSFT": "50.1", "BTC/USD": "68123.45"}
EXPOSURE = Decimal(70_000)
POSITION = Decimal("0.3") * 100_000
NEVER_MIND: dict[str, Any] = {
    "max_daily_loss": Decimal(10**9),
    "max_daily_loss_amount": Decimal(10**12),
    "price_max_age": None,
}


def reach(held: Decimal, mark: Decimal, flights: list[tuple[Decimal, Decimal]]) -> Decimal:
    """The most that a side can be worth: what the dearest orders in flight add to it (price, quantity)."""
    if held >= 0:
        return held * mark + sum((price * quantity for price, quantity in flights), Decimal(0))
    left, worth = held + sum((quantity for _, quantity in flights), Decimal(0)), Decimal(0)
    for price, quantity in sorted(flights, reverse=True):
        worth += price * min(max(left, Decimal(0)), quantity)
        left -= quantity
    return worth


def worst_cases(held: Holdings, marks: dict[str, Decimal]) -> dict[str, Decimal]:
    """Add up from positions and orders alone the most that each symbol can come to."""
    flights: dict[tuple[str, str, str], list[tuple[Decimal, Decimal]]] = {}
    lots = dict(held.accounts["main"].held)
    for each in held.orders.values():
        owner, symbol, side = each.order.owner, each.order.symbol, each.order.side
        flights.setdefault((owner, symbol, side), []).append((each.price, each.left))
        lots.setdefault((owner, symbol), Decimal(0))
    found: dict[str, Decimal] = dict.fromkeys(marks, Decimal(0))
    for (owner, symbol), quantity in lots.items():
        buys, sells = (flights.get((owner, symbol, side), []) for side in ("BUY", "SELL"))
        mark = marks[symbol]
        found[symbol] += max(reach(quantity, mark, buys), reach(-quantity, mark, sells))
    return found


class Trader(Thread):
    """Orders at random and has its orders answered at random; keeps count of what was filled."""

    def __init__(self, book: RiskBook, seed: int) -> None:
        super().__init__()
        self.passed: list[str] = []
        self.filled: dict[tuple[str, str], Decimal] = {}
        self.approved = 0
        self._book = book
        self._random = random.Random(seed)  # noqa: S311 — no secret
        self._open: list[tuple[Order, Decimal]] = []

    def run(self) -> None:
        for number in range(ORDERS):
            self._order()
            if self._open and self._random.random() < 0.6:
                self._answer(*self._open.pop(self._random.randrange(len(self._open))))
            if number % 200 == 0:
                self._look()
        while self._open:
            self._answer(*self._open.pop())

    def _order(self) -> None:
        chance = self._random
        symbol = chance.choice(list(PRICES))
        price = (Decimal(PRICES[symbol]) * chance.randrange(900, 1100) / 1000).quantize(Decimal("0.01"))
        value = chance.choice([150, 900, 5_000, 14_000, 40_000])
        step = Decimal("0.00000001") if "/" in symbol else Decimal(1)
        wanted = order(
            chance.choice(["BUY", "SELL"]),
            str((value / price).quantize(step)),
            str(price),
            owner=chance.choice(["s1", "s2", "s3"]),
            symbol=symbol,
            asset_type="crypto" if "/" in symbol else "stock",
        )
        verdict = self._book.judge(wanted, "main")
        if not isinstance(verdict, Refused):
            self.approved += 1
            quantity = verdict.quantity if isinstance(verdict, Reduced) else wanted.quantity
            self._open.append((wanted, quantity))

    def _answer(self, given: Order, quantity: Decimal) -> None:
        kind = self._random.choice(["filled", "filled", "half", "rejected", "expired"])
        if kind in {"rejected", "expired"}:
            self._book.settle(ended(given, kind))
            return
        if kind == "half":
            part = (quantity / 3).quantize(Decimal("0.00000001"))
            self._book.fill(given.order_id, part, given.price)
            quantity = (quantity / 2).quantize(Decimal("0.00000001"))
        self._book.settle(filled(given, str(quantity)))
        lot = given.owner, given.symbol
        signed = quantity if given.side == "BUY" else -quantity
        self.filled[lot] = self.filled.get(lot, Decimal(0)) + signed

    def _look(self) -> None:
        """Note every limit that is passed at this moment, and a tally below what it is summed from."""
        marks = {symbol: Decimal(price) for symbol, price in PRICES.items()}
        with self._book.holdings() as held:
            worst = worst_cases(held, marks)
            self.passed += [f"{symbol}: {value}" for symbol, value in worst.items() if value > POSITION]
            total = sum(worst.values(), Decimal(0))
            if not total <= held.tally.exposure <= EXPOSURE:
                self.passed.append(f"{total}, by the tally {held.tally.exposure}")


def test_eight_threads_with_ten_thousand_orders_each_pass_no_limit_not_by_a_cent() -> None:
    account = Account(limits=limits(max_exposure=EXPOSURE, **NEVER_MIND), fixed_value=Decimal(100_000))
    book = make_book(prices=PRICES, account=account, max_exposure=EXPOSURE, **NEVER_MIND)
    traders = [Trader(book, seed) for seed in range(THREADS)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # a race that can happen is to happen
    for trader in traders:
        trader.start()
    for trader in traders:
        trader.join()
    sys.setswitchinterval(before)
    assert [each for trader in traders for each in trader.passed] == []
    assert sum(trader.approved for trader in traders) > THREADS * ORDERS / 20
    expected: dict[tuple[str, str], Decimal] = {}
    for trader in traders:
        for lot, quantity in trader.filled.items():
            expected[lot] = expected.get(lot, Decimal(0)) + quantity
    with book.holdings() as held:
        assert not held.orders
        assert held.accounts["main"].held == {lot: each for lot, each in expected.items() if each}
        marks = {symbol: Decimal(price) for symbol, price in PRICES.items()}
        assert held.tally.exposure == sum(worst_cases(held, marks).values())


cents = st.decimals(min_value=1, max_value=500, places=2)
quantities = st.decimals(min_value="0.00000001", max_value=5_000, places=8)
steps = st.one_of(
    st.tuples(st.just("order"), st.sampled_from(["BUY", "SELL"]), quantities, cents, st.sampled_from("ab")),
    st.tuples(st.just("price"), cents),
    st.tuples(st.sampled_from(["fill", "settle", "reject", "unknown"]), st.integers(0, 5), st.floats(0, 1)),
)


@given(st.lists(steps, max_size=40))
def test_what_is_approved_never_passes_a_limit_and_the_sums_are_exact(script: list[Any]) -> None:
    known = limits(max_exposure=Decimal(40_000), **NEVER_MIND)
    book = make_book(
        account=Account(limits=known, fixed_value=Decimal(100_000)),
        max_exposure=Decimal(40_000),
        **NEVER_MIND,
    )
    mark, made = Decimal(100), list[Order]()
    for step in script:
        with book.holdings() as held:
            before = worst_cases(held, {"AAPL": mark})["AAPL"]
        grew = False
        match step:
            case ["order", side, quantity, price, owner]:
                made.append(order(side, str(quantity), str(price), owner=owner))
                book.judge(made[-1], "main")
                grew = True
            case ["price", price]:
                mark = price
                book.marks.tell("AAPL", float(price), 0.0)
            case [kind, number, share] if number < len(made):
                answer(book, made[-1 - number], kind, Decimal(repr(share)))
        with book.holdings() as held:
            worst = worst_cases(held, {"AAPL": mark})["AAPL"]
            assert held.tally.exposure >= worst
            if not held.orders:
                assert held.tally.exposure == worst
            account = held.accounts["main"]
            assert held.value("main") == account.cash + sum(account.held.values(), Decimal(0)) * mark
            if grew:
                assert worst <= max(Decimal(30_000), before)


def answer(book: RiskBook, given_order: Order, kind: str, share: Decimal) -> None:
    part = (given_order.quantity * share).quantize(Decimal("0.00000001"))
    match kind:
        case "fill" if part:
            with book.holdings() as held:
                left = held.orders[given_order.order_id].left if given_order.order_id in held.orders else part
            book.fill(given_order.order_id, min(part, left), given_order.price)
        case "settle" if part:
            book.settle(filled(given_order, str(part)))
        case "reject" | "unknown":
            book.settle(ended(given_order, "rejected" if kind == "reject" else "unknown"))
