"""What is shown of an order while it is filled: never less than before, and booked only at its end."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.execution import PartialFill
from models.portfolio_execution import ExecutionOrder, ExecutionStatus, OrderStatus
from services.portfolio.progress import may_resume, paused, progressed, reported
from tests.unit.portfolio_driver import START, Driver, policy, report


def opened() -> Driver:
    """An execution that has given orders for 350 of each of its two symbols at 100."""
    driver = Driver.of()
    driver.see(AAPL=100, MSFT=100)
    driver.give()
    return driver


def part(order: ExecutionOrder, quantity: float, price: float = 100.5) -> PartialFill:
    return PartialFill(signal_id=str(order.order_id), filled_quantity=quantity, filled_price=price)


@given(st.lists(st.integers(min_value=0, max_value=400), max_size=8))
def test_whatever_is_told_in_whatever_order_the_most_is_shown_and_the_end_is_booked_once(
    quantities: list[int],
) -> None:
    driver = opened()
    order = driver.given[0]
    before = driver.execution.ledger
    most = Decimal(0)
    for quantity in quantities:
        driver.execution, changed = progressed(driver.execution, part(order, quantity))
        if most < quantity < order.quantity:
            most = Decimal(quantity)
            [shown] = changed
            assert (shown.status, shown.filled_quantity) == (OrderStatus.PARTIALLY_FILLED, most)
        else:
            assert changed == ()
    assert driver.execution.open_orders[order.order_id].filled_quantity == most
    assert driver.execution.ledger == before
    driver.tell(report(order))
    assert driver.held() == {"AAPL": order.quantity}
    assert progressed(driver.execution, part(order, 200)) == (driver.execution, ())


def test_an_order_filled_in_part_that_ends_without_more_is_cancelled_with_what_was_filled() -> None:
    driver = opened()
    order = driver.given[0]
    driver.execution, _ = progressed(driver.execution, part(order, 100))
    ended = report(order, filled_quantity=100.0)
    driver.execution, [last] = reported(driver.execution, ended, START, policy())
    assert (last.status, last.filled_quantity) == (OrderStatus.CANCELLED, Decimal(100))
    assert driver.held() == {"AAPL": Decimal(100)}


@pytest.mark.parametrize("with_part", [False, True])
def test_an_order_of_which_nothing_is_known_any_more_keeps_the_execution_from_going_on(
    *, with_part: bool
) -> None:
    driver = opened()
    order = driver.given[0]
    if with_part:
        driver.execution, _ = progressed(driver.execution, part(order, 100))
    unknown = report(order, status="unknown", reason="no answer", filled_quantity=0.0, filled_price=None)
    driver.tell(unknown)
    assert driver.execution.status is ExecutionStatus.ERROR
    assert not may_resume(driver.execution)


def test_a_pause_leaves_an_order_that_is_being_filled_alone() -> None:
    driver = opened()
    driver.execution, _ = progressed(driver.execution, part(driver.given[0], 100))
    held = paused(driver.execution)
    assert held is not None
    assert held.open_orders == driver.execution.open_orders
