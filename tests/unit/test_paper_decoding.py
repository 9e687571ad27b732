"""What a body must be to count as an order."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.paper.decoding import read_execution
from services.paper.refusal import RequestRefused

ORDER: dict[str, Any] = {
    "signalId": "one",
    "sessionId": "s",
    "strategyId": "mock",
    "symbol": "BTC/USD",
    "action": "BUY",
    "price": 0.1,
    "quantity": 2,
}

WRONG = [
    b"",
    b"[]",
    b"null",
    b"{",
    b"\xff{}",
    b"[" * 50_000,
    b"1" * 60_000,
    b'{"price":1e999999999999999999999}',
    b'{"price":1e99999}',
]
WRONG_FIELDS: list[dict[str, Any]] = [
    {"price": 0},
    {"price": -1},
    {"price": "1"},
    {"price": True},
    {"price": None},
    {"price": float("nan")},
    {"price": float("inf")},
    {"price": 1e13},
    {"price": 1e-13},
    {"quantity": 0},
    {"quantity": None},
    {"quantity": [1]},
    {"qty": 3},
    {"action": "HOLD"},
    {"action": "buy"},
    {"symbol": "A*"},
    {"symbol": "A\n"},
    {"symbol": ""},
    {"sessionId": None},
    {"sessionId": ""},
    {"sessionId": 7},
    {"sessionId": "a\u0000b"},
    {"sessionId": "\ud800"},
    {"signalId": "x" * 129},
    {"confidence": 1.5},
    {"metadata": []},
]


@pytest.mark.parametrize("body", WRONG, ids=range(len(WRONG)))
def test_what_is_no_object_is_refused_with_400(body: bytes) -> None:
    with pytest.raises(RequestRefused) as raised:
        read_execution(body, "one")
    assert raised.value.status_code == 400


@pytest.mark.parametrize("wrong", WRONG_FIELDS, ids=range(len(WRONG_FIELDS)))
def test_what_is_no_order_is_refused_with_400(wrong: dict[str, Any]) -> None:
    read_execution(json.dumps(ORDER).encode(), "one")
    with pytest.raises(RequestRefused) as raised:
        read_execution(json.dumps(ORDER | wrong).encode(), "one")
    assert raised.value.status_code == 400


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(RequestRefused) as raised:
        read_execution(json.dumps(ORDER | {"price": -1, "action": "HOLD"}).encode(), None)
    assert "price" in raised.value.message
    assert "action" in raised.value.message


def test_numbers_are_read_exactly() -> None:
    order = read_execution(json.dumps(ORDER).encode(), None).order
    assert str(order.price) == "0.100000000000"


def test_older_workers_may_send_only_qty() -> None:
    older = {name: value for name, value in ORDER.items() if name != "quantity"} | {"qty": 3}
    assert read_execution(json.dumps(older).encode(), None).order.quantity == 3


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_at_all_do_worse_than_be_refused(body: bytes) -> None:
    with pytest.raises(RequestRefused):
        read_execution(body, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(ORDER)), json_values)
def test_no_value_of_a_field_does_worse_than_be_refused(name: str, value: object) -> None:
    with suppress(RequestRefused):
        order = read_execution(json.dumps(ORDER | {name: value}).encode(), "one").order
        assert order.price > 0
        assert order.quantity > 0
