"""A session's holding, against book-keeping in exact fractions."""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.execution import ExecutionReport, ReportStatus
from models.position import Position
from models.signal import Action, Signal

AT = datetime(2026, 1, 28, tzinfo=UTC)
UNANSWERED: list[ReportStatus] = ["rejected", "refused", "expired", "unknown"]


def signal(action: Action, quantity: float, price: float = 10.0) -> Signal:
    return Signal(
        action=action,
        price=price,
        quantity=quantity,
        signal_id="id",
        session_key="s",
        session_id="s",
        strategy_id="x",
        symbol="A",
        timestamp=AT,
    )


def report(
    action: Action,
    quantity: float,
    filled: float,
    price: float | None = 10.0,
    status: ReportStatus = "filled",
) -> ExecutionReport:
    return ExecutionReport(
        signal_id="id",
        symbol="A",
        action=action,
        quantity=quantity,
        status=status,
        filled_quantity=filled,
        filled_price=price,
    )


def traded(*fills: tuple[Action, float, float]) -> Position:
    """The position after these fills, each answered at once."""
    position = Position()
    for action, quantity, price in fills:
        position = position.after_signal(signal(action, quantity, price))
        position = position.after_report(report(action, quantity, quantity, price))
    return position


# --- by hand ------------------------------------------------------------------------------------------------


def test_a_second_purchase_averages_the_price() -> None:
    assert traded(("BUY", 10.0, 100.0), ("BUY", 30.0, 120.0)) == Position(40.0, 115.0)


def test_selling_a_part_realises_its_profit_and_keeps_the_average() -> None:
    assert traded(("BUY", 10.0, 100.0), ("SELL", 4.0, 110.0)) == Position(6.0, 100.0, 40.0)


def test_selling_all_leaves_nothing_but_the_profit() -> None:
    position = traded(("BUY", 10.0, 100.0), ("SELL", 10.0, 90.0))
    assert (position, bool(position)) == (Position(0.0, 0.0, -100.0), False)


def test_selling_more_than_is_held_turns_the_position_round_at_the_new_price() -> None:
    assert traded(("BUY", 10.0, 100.0), ("SELL", 15.0, 110.0)) == Position(-5.0, 110.0, 100.0)


def test_a_short_position_earns_when_it_is_bought_back_for_less() -> None:
    assert traded(("SELL", 10.0, 100.0), ("BUY", 10.0, 80.0)) == Position(0.0, 0.0, 200.0)


@pytest.mark.parametrize(("quantity", "profit"), [(10.0, 50.0), (-10.0, -50.0), (0.0, 0.0)])
def test_the_unrealised_profit_is_that_of_closing_now(quantity: float, profit: float) -> None:
    assert Position(quantity, 100.0).unrealised_pnl(105.0) == profit


def test_what_is_on_its_way_is_expected_but_not_held() -> None:
    position = Position(10.0, 100.0).after_signal(signal("SELL", 10.0)).after_signal(signal("BUY", 3.0))
    assert (position.quantity, position.working, position.expected) == (10.0, -7.0, 3.0)


@pytest.mark.parametrize("status", UNANSWERED)
def test_a_signal_that_was_not_executed_is_no_longer_expected(status: ReportStatus) -> None:
    position = Position().after_signal(signal("BUY", 3.0)).after_signal(signal("BUY", 4.0))
    position = position.after_report(report("BUY", 3.0, 0.0, None, status))
    assert (position.quantity, position.working, position.expected) == (0.0, 4.0, 4.0)
    assert position.after_report(report("BUY", 4.0, 0.0, None, status)) == Position()


def test_what_a_report_says_of_an_order_that_was_not_executed_is_not_booked() -> None:
    assert Position().after_report(report("BUY", 3.0, 3.0, 10.0, "rejected")) == Position()


def test_a_partial_fill_is_all_that_is_expected_of_its_signal() -> None:
    position = Position().after_signal(signal("BUY", 10.0)).after_signal(signal("BUY", 1.0))
    position = position.after_report(report("BUY", 10.0, 4.0))
    assert (position.quantity, position.working, position.expected) == (4.0, 1.0, 5.0)


def test_an_order_that_was_accepted_without_a_price_holds_nothing_yet() -> None:
    position = Position().after_signal(signal("BUY", 10.0)).after_report(report("BUY", 10.0, 10.0, None))
    assert position == Position()


def test_a_report_on_a_signal_of_an_earlier_life_is_booked() -> None:
    assert Position().after_report(report("BUY", 2.0, 2.0)) == Position(2.0, 10.0)


@pytest.mark.parametrize(
    ("parts", "total"),
    [((0.1, 0.2), 0.3), ((1_000_000.1, 0.2), 1_000_000.3), ((1e-9, 2e-9), 3e-9), ((1e12, 0.1), 1e12 + 0.1)],
)
def test_what_float_arithmetic_leaves_over_is_not_held(parts: tuple[float, ...], total: float) -> None:
    bought: list[tuple[Action, float, float]] = [("BUY", part, 10.0) for part in parts]
    assert traded(*bought, ("SELL", total, 10.0)).quantity == 0.0


def test_a_very_small_holding_is_a_holding() -> None:
    assert traded(("BUY", 1e-13, 60_000.0)) == Position(1e-13, 60_000.0)


# --- in general ---------------------------------------------------------------------------------------------


@dataclass
class Books:
    """The same in fractions: lots of one side, closed at their average."""

    quantity: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    realised: Fraction = Fraction(0)

    def fill(self, change: Fraction, price: Fraction) -> None:
        if self.quantity * change < 0:
            closed = min(abs(change), abs(self.quantity)) * (1 if change > 0 else -1)
            share = -closed / self.quantity
            self.realised += -closed * price - share * self.cost
            self.cost -= share * self.cost
            self.quantity += closed
            change -= closed
        self.quantity += change
        self.cost += change * price


@dataclass(frozen=True)
class Order:
    action: Action
    quantity: float
    price: float
    filled: float
    status: ReportStatus


# Multiples of 1/64 add up exactly in floats, so quantities can be compared digit by digit.
WHOLE_SIXTY_FOURTHS = st.integers(1, 64_000).map(lambda number: number / 64)
ORDERS = st.builds(
    lambda action, quantity, price, share, status: Order(
        action, quantity, price, quantity if share == 64 else min(share / 64, quantity), status
    ),
    st.sampled_from(["BUY", "SELL"]),
    WHOLE_SIXTY_FOURTHS,
    st.floats(0.01, 1_000.0),
    st.sampled_from([64, 64, 64, 0, 1, 33]),
    st.sampled_from(["filled", "accepted", "filled", "rejected", "expired"]),
)


@given(orders=st.lists(ORDERS, max_size=40), patience=st.lists(st.integers(0, 3), min_size=40, max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_orders_answered_at_any_time_are_booked_as_in_fractions(
    orders: list[Order], patience: list[int]
) -> None:
    position, books = Position(), Books()
    waiting: deque[Order] = deque()

    def answer() -> None:
        nonlocal position
        order = waiting.popleft()
        position = position.after_report(
            report(order.action, order.quantity, order.filled, order.price, order.status)
        )
        if order.status in {"filled", "accepted"}:
            sign = 1 if order.action == "BUY" else -1
            books.fill(sign * Fraction(order.filled), Fraction(order.price))

    for order, answers in zip(orders, patience, strict=False):
        position = position.after_signal(signal(order.action, order.quantity, order.price))
        waiting.append(order)
        for _ in range(min(answers, len(waiting))):
            answer()
        on_their_way = sum(each.quantity * (1 if each.action == "BUY" else -1) for each in waiting)
        assert position.quantity == books.quantity
        assert position.working == on_their_way
        assert position.expected == books.quantity + Fraction(on_their_way)
    while waiting:
        answer()
    gross = sum(order.quantity * order.price for order in orders)
    assert (position.unanswered, position.working) == (0, 0.0)
    assert position.quantity == position.expected == books.quantity
    assert position.average_price * position.quantity == pytest.approx(float(books.cost), abs=1e-9 * gross)
    assert position.realised_pnl == pytest.approx(float(books.realised), abs=1e-9 * gross)
    assert bool(position) == bool(books.quantity)


@given(
    quantities=st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=30),
    delay=st.integers(1, 30),
)
@settings(max_examples=200, deadline=None)
def test_selling_what_is_expected_leaves_nothing_however_late_the_answers_are(
    quantities: list[float], delay: int
) -> None:
    position, waiting = Position(), deque[Signal]()
    for quantity in quantities:
        for order in (signal("BUY", quantity), None):
            each = order or signal("SELL", position.expected)
            position = position.after_signal(each)
            waiting.append(each)
            if len(waiting) > delay:
                answered = waiting.popleft()
                position = position.after_report(
                    report(answered.action, answered.quantity, answered.quantity)
                )
        assert waiting[-1].quantity == quantity
        assert position.expected == 0.0
    for answered in waiting:
        position = position.after_report(report(answered.action, answered.quantity, answered.quantity))
    assert (position.quantity, position.working, bool(position)) == (0.0, 0.0, False)
