"""What the reference OMS says of an order, step by step."""

import math
from typing import Any

import pytest

from models.errors import ConfigError
from services.oms.options import Faults, OmsServerOptions, Rules
from services.oms.plan import Step, plan
from services.oms.protocol import BUY, LIMIT, MARKET, SELL, OrderRequest, OrderStatus
from tests.support import REPOSITORY

TAKEN = [Step(OrderStatus.PENDING), Step(OrderStatus.ACCEPTED)]


def order(**changes: Any) -> OrderRequest:
    fields = {"id": "1", "symbol": "AAPL", "side": BUY, "type": MARKET, "price": 100.0, "quantity": 10}
    return OrderRequest(**{**fields, **changes})


def test_an_order_is_filled_at_the_last_price() -> None:
    assert plan(order(), 101.0, Rules()) == [*TAKEN, Step(OrderStatus.FILLED, 10, 101.0)]


def test_parts_add_up_to_the_order_and_say_what_is_filled_in_all() -> None:
    steps = plan(order(), 101.0, Rules(fill_parts=3))
    assert [(step.status, step.filled) for step in steps[2:]] == [
        (OrderStatus.PARTIALLY_FILLED, 3),
        (OrderStatus.PARTIALLY_FILLED, 6),
        (OrderStatus.FILLED, 10),
    ]


def test_an_order_has_no_more_parts_than_units() -> None:
    steps = plan(order(quantity=2), 101.0, Rules(fill_parts=5))
    assert [step.filled for step in steps[2:]] == [1, 2]


@pytest.mark.parametrize("most", [0, 4])
def test_what_cannot_be_had_is_cancelled(most: int) -> None:
    steps = plan(order(), 101.0, Rules(fill_at_most=most))
    assert (steps[-1].status, steps[-1].filled) == (OrderStatus.CANCELLED, most)
    assert [step.filled for step in steps[2:-1]] == [most] * bool(most)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": ""}, "missing_id"),
        ({"quantity": 0}, "bad_quantity"),
        ({"quantity": -1}, "bad_quantity"),
        ({"quantity": 51}, "quantity_over_limit"),
        ({"symbol": "NONE"}, "unknown_symbol"),
        ({"type": LIMIT, "price": 0.0}, "bad_price"),
        ({"type": LIMIT, "price": math.nan}, "bad_price"),
    ],
)
def test_an_order_against_the_rules_is_rejected(changes: dict[str, Any], reason: str) -> None:
    rules = Rules(reject_over_quantity=50, symbols=frozenset({"AAPL"}))
    assert plan(order(**changes), 101.0, rules) == [Step(OrderStatus.REJECTED, message=reason)]


@pytest.mark.parametrize("price", [None, 0.0, math.nan, math.inf])
def test_without_a_price_nothing_is_filled(price: float | None) -> None:
    assert plan(order(), price, Rules()) == [Step(OrderStatus.REJECTED, message="no_price")]


@pytest.mark.parametrize(("side", "limit"), [(BUY, 100.99), (SELL, 101.01)])
def test_a_limit_that_the_price_does_not_meet_is_cancelled(side: int, limit: float) -> None:
    steps = plan(order(side=side, type=LIMIT, price=limit), 101.0, Rules())
    assert (steps[-1].status, steps[-1].filled) == (OrderStatus.CANCELLED, 0)
    met = plan(order(side=side, type=LIMIT, price=101.0), 101.0, Rules())
    assert met[-1].status == OrderStatus.FILLED


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Rules(fill_parts=0),
        lambda: Rules(fill_seconds=math.nan),
        lambda: Faults(mute_rate=1.5),
        lambda: OmsServerOptions(certificate=REPOSITORY / "README.md"),
    ],
)
def test_options_out_of_range_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError):
        wrong()
