"""What each answer of an OMS means, alone and after others."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import Uncertain
from services.oms.protocol import OrderResponse, OrderStatus
from services.signals.oms_answers import Progress, Said, judge_answer
from services.signals.verdict import Executed, Rejected

ASKED = 10


def answer(status: int, quantity: int = 0, price: float = 0.0, **more: Any) -> OrderResponse:
    fields: dict[str, Any] = {
        "order_id": "o-1",
        "request_id": "s-1",
        "status": status,
        "filled_quantity": quantity,
    }
    return OrderResponse(**fields, filled_price=price, **more)


def after(*answers: OrderResponse, asked: int = ASKED) -> Said:
    """Say where an order stands after these answers; the last alone may end it."""
    said: Said = Progress()
    for each in answers:
        assert isinstance(said, Progress)
        said = judge_answer(asked, said, each)
    return said


@pytest.mark.parametrize("status", [OrderStatus.PENDING, OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED])
def test_an_order_that_is_taken_is_not_done(status: int) -> None:
    assert isinstance(after(answer(status)), Progress)


def test_an_order_is_executed_as_the_last_answer_says() -> None:
    said = after(
        answer(OrderStatus.ACCEPTED),
        answer(OrderStatus.PARTIALLY_FILLED, 4, 100.0),
        answer(OrderStatus.FILLED, 10, 101.5),
    )
    assert said == Executed(status="filled", order_id="o-1", filled_quantity=10.0, filled_price=101.5)


def test_what_an_answer_does_not_say_is_what_was_asked_or_said_before() -> None:
    assert after(answer(OrderStatus.FILLED)) == Executed(
        status="filled", order_id="o-1", filled_quantity=10.0, filled_price=None
    )
    partly = answer(OrderStatus.PARTIALLY_FILLED, 4, 100.0)
    assert after(partly, answer(OrderStatus.FILLED)) == Executed(
        status="filled", order_id="o-1", filled_quantity=10.0, filled_price=100.0
    )


@pytest.mark.parametrize("end", [OrderStatus.CANCELLED, OrderStatus.REJECTED])
def test_what_was_filled_before_an_order_was_cancelled_is_an_execution(end: int) -> None:
    partly = answer(OrderStatus.PARTIALLY_FILLED, 4, 100.0)
    filled = Executed(status="filled", order_id="o-1", filled_quantity=4.0, filled_price=100.0)
    assert after(partly, answer(end)) == filled
    assert after(partly, answer(end, 4, 100.0)) == filled
    assert after(answer(end, 4, 100.0)) == filled


def test_an_order_of_which_nothing_was_filled_is_rejected_with_the_reason_of_the_oms() -> None:
    assert after(answer(OrderStatus.REJECTED, message="quantity\nover limit")) == Rejected(
        reason="quantity over limit"
    )
    assert after(answer(OrderStatus.REJECTED)) == Rejected(reason="rejected")
    assert after(answer(OrderStatus.CANCELLED)) == Rejected(reason="cancelled")
    assert after(answer(OrderStatus.CANCELLED, message="no more")) == Rejected(reason="cancelled: no more")


@pytest.mark.parametrize(
    "answers",
    [
        [answer(OrderStatus.FILLED, 11, 1.0)],
        [answer(OrderStatus.FILLED, -10, 1.0)],
        [answer(OrderStatus.PARTIALLY_FILLED, -1, 1.0)],
        [answer(OrderStatus.PARTIALLY_FILLED, 4, math.nan)],
        [answer(OrderStatus.FILLED, 10, math.inf)],
        [answer(OrderStatus.FILLED, 10, 1e300)],
        [answer(OrderStatus.FILLED, 10, -1.0)],
        [answer(OrderStatus.PARTIALLY_FILLED, 6, 1.0), answer(OrderStatus.PARTIALLY_FILLED, 4, 1.0)],
        [answer(OrderStatus.PARTIALLY_FILLED, 4, 1.0), answer(OrderStatus.FILLED, 6, 1.0)],
        [answer(OrderStatus.PARTIALLY_FILLED, 6, 1.0), answer(OrderStatus.CANCELLED, 4, 1.0)],
    ],
)
def test_an_answer_that_contradicts_settles_nothing(answers: list[OrderResponse]) -> None:
    with pytest.raises(Uncertain, match="the OMS contradicts itself"):
        after(*answers)


def test_a_quantity_for_each_fill_is_recognised_as_such() -> None:
    with pytest.raises(Uncertain, match="last fill only"):
        after(answer(OrderStatus.PARTIALLY_FILLED, 4, 1.0), answer(OrderStatus.FILLED, 6, 1.0))


def test_a_status_of_a_newer_oms_is_no_end() -> None:
    assert after(answer(9)) == Progress(status="status 9", order_id="o-1")


@given(
    st.lists(
        st.builds(
            answer,
            st.integers(0, 7),
            st.integers(-2, ASKED + 2),
            st.one_of(st.just(0.0), st.floats()),
        ),
        max_size=6,
    )
)
def test_whatever_an_oms_says_no_more_is_booked_than_was_asked(answers: list[OrderResponse]) -> None:
    so_far = Progress()
    for each in answers:
        try:
            said = judge_answer(ASKED, so_far, each)
        except Uncertain:
            return
        if isinstance(said, Executed):
            assert said.filled_quantity is not None
            assert 0 < said.filled_quantity <= ASKED
            assert said.filled_price is None or 0 < said.filled_price < math.inf
        if not isinstance(said, Progress):
            return
        so_far = said
