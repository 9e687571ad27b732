"""What is taken of a strategy's state, and what is refused."""

import json
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

import pytest

from models.errors import StrategyRejected
from models.saved_state import MAX_STATE_BYTES, encode_state

DEEP: Any = {}
for _ in range(100_000):
    DEEP = {"deeper": DEEP}
ITSELF: dict[str, Any] = {}
ITSELF["itself"] = ITSELF


@pytest.mark.parametrize(
    "given", [{}, {"a": [1, 2.5, None, True, "x"]}, OrderedDict(b=1, a=2), {"tuple": (1, 2)}, {"é": "\ue000"}]
)
def test_a_dict_of_json_values_is_taken_as_it_is(given: dict[str, Any]) -> None:
    assert json.loads(encode_state(given)) == json.loads(json.dumps(given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "NoneType"),
        ([1], "list"),
        ("{}", "str"),
        ({"x": float("nan")}, "not JSON"),
        ({"x": [float("-inf")]}, "not JSON"),
        ({"x": datetime(2026, 1, 28, tzinfo=UTC)}, "not JSON"),
        ({"x": {1, 2}}, "not JSON"),
        ({"x": b"bytes"}, "not JSON"),
        ({"x": "\ud800"}, "not JSON"),
        ({"x": [{1: "one"}]}, "the key 1 is no text"),
        ({None: 1}, "the key None is no text"),
        (ITSELF, "not JSON"),
        (DEEP, "not JSON"),
        ({"x": "y" * MAX_STATE_BYTES}, "at most 65536"),
        ({"x": "é" * (MAX_STATE_BYTES // 2)}, "at most 65536"),
    ],
)
def test_anything_else_is_refused_with_what_is_wrong(given: object, said: str) -> None:
    with pytest.raises(StrategyRejected, match=said):
        encode_state(given)


def test_the_largest_state_that_is_kept_has_64_kib() -> None:
    frame = len('{"x":""}')
    assert len(encode_state({"x": "y" * (MAX_STATE_BYTES - frame)})) == MAX_STATE_BYTES
    with pytest.raises(StrategyRejected):
        encode_state({"x": "y" * (MAX_STATE_BYTES - frame + 1)})
