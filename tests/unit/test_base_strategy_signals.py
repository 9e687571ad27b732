"""The signals that an author sends by hand: what is taken, what is refused, and that nothing is sent then."""

import json
from collections import UserDict
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from models.errors import StrategyRejected
from models.market_data import Bar, Trade
from models.position import Position
from models.signal import derive_signal_id
from strategies.base_strategy import MAX_METADATA_BYTES, BaseStrategy


class Quiet(BaseStrategy):
    def on_bar(self, bar: Bar) -> None:
        pass

    def on_trade(self, trade: Trade) -> None:
        pass


def strategy() -> Quiet:
    return Quiet("strategy-1", "AAPL", "session-1")


def refusal(**changes: Any) -> str:
    """Send a signal with something wrong in it, see that nothing was sent, and give the complaint."""
    author = strategy()
    signal: dict[str, Any] = {"action": "BUY", "price": 100.0, "quantity": 1.0, **changes}
    with pytest.raises(StrategyRejected) as refused:
        author.send_signal(**signal)
    assert (author.sent_signals, author.position) == ([], Position())
    return str(refused.value)


# --- send_signal --------------------------------------------------------------------------------------------


def test_a_signal_by_hand_carries_what_was_asked_and_who_asked() -> None:
    author = strategy()
    before = datetime.now(UTC)
    identity = author.send_signal("BUY", 100.5, 2, 0.75, {"why": ["dip"]})
    [sent] = author.sent_signals
    assert (sent.action, sent.price, sent.quantity, sent.confidence) == ("BUY", 100.5, 2.0, 0.75)
    assert (sent.metadata, sent.symbol, sent.strategy_id) == ({"why": ["dip"]}, "AAPL", "strategy-1")
    assert (sent.session_id, sent.session_key, sent.signal_id) == ("session-1", "session-1", identity)
    assert before <= sent.timestamp <= datetime.now(UTC)


def test_signals_by_hand_have_ids_of_their_own_and_the_same_in_the_next_run() -> None:
    runs = []
    for _ in range(2):
        author = Quiet("strategy-1", "AAPL")
        runs.append([author.send_signal("BUY", 1.0, 1.0) for _ in range(3)])
    assert runs[0] == runs[1] == [derive_signal_id("strategy-1", "by hand", each) for each in range(3)]


def test_what_is_not_said_is_full_confidence_and_no_metadata() -> None:
    author = strategy()
    author.send_signal("SELL", 1.0, 1.0)
    assert (author.sent_signals[0].confidence, author.sent_signals[0].metadata) == (1.0, {})


@pytest.mark.parametrize("action", ["buy", "HOLD", "", None, 1, True, ["BUY"], {"BUY"}, b"BUY"])
def test_an_action_other_than_buy_and_sell_is_refused(action: object) -> None:
    assert refusal(action=action) == f"action is {action!r}; it must be 'BUY' or 'SELL'"


NO_NUMBERS: list[tuple[object, str]] = [
    (None, "must be a number"),
    (True, "must be a number"),
    (np.True_, "must be a number"),
    ("100", "must be a number"),
    (b"100", "must be a number"),
    ([100.0], "must be a number"),
    (np.array([100.0]), "must be a number"),
    (datetime(2026, 1, 28, tzinfo=UTC), "must be a number"),
    (1 + 2j, "must be a number that a float can hold"),
    (10**400, "must be a number that a float can hold"),
    (float("nan"), "must be a finite number"),
    (float("inf"), "must be a finite number"),
    (float("-inf"), "must be a finite number"),
    (np.float64("nan"), "must be a finite number"),
    (Decimal("NaN"), "must be a finite number"),
    (Decimal("sNaN"), "must be a number that a float can hold"),
    (Decimal("Infinity"), "must be a finite number"),
    (Decimal("1e400"), "must be a finite number"),
]


@pytest.mark.parametrize("name", ["price", "quantity", "confidence"])
@pytest.mark.parametrize(("given", "complaint"), NO_NUMBERS)
def test_what_is_no_finite_number_is_refused(name: str, given: object, complaint: str) -> None:
    assert refusal(**{name: given}) == f"{name} is {given!r}; it {complaint}"


@pytest.mark.parametrize("name", ["price", "quantity"])
@pytest.mark.parametrize("given", [0, 0.0, -0.0, -1, -1e-9, Decimal(-3), Decimal("1e-400")])
def test_a_price_or_quantity_of_nothing_or_less_is_refused(name: str, given: float) -> None:
    assert refusal(**{name: given}) == f"{name} is {float(given)}; it must be above 0"


@pytest.mark.parametrize("given", [-0.001, 1.001, 100, -1])
def test_a_confidence_outside_0_to_1_is_refused(given: float) -> None:
    assert refusal(confidence=given) == f"confidence is {float(given)}; it must lie from 0 to 1"


@pytest.mark.parametrize("given", [0, 0.0, 0.5, 1, 1.0, np.float32(0.5), Decimal("0.3"), Fraction(1, 3)])
def test_a_confidence_from_0_to_1_is_taken(given: float) -> None:
    author = strategy()
    author.send_signal("BUY", 1.0, 1.0, given)
    assert author.sent_signals[0].confidence == float(given)


@pytest.mark.parametrize(
    "given",
    [
        7,
        7.5,
        5e-324,
        1.7e308,
        np.float64(7.5),
        np.float32(7.5),
        np.int64(7),
        Decimal("7.25"),
        Fraction(29, 4),
    ],
)
def test_numbers_of_every_kind_are_taken_and_become_plain_floats(given: Any) -> None:
    author = strategy()
    author.send_signal("BUY", given, given)
    [sent] = author.sent_signals
    assert (sent.price, sent.quantity) == (float(given), float(given))
    assert (type(sent.price), type(sent.quantity), type(sent.confidence)) == (float, float, float)


# --- metadata -----------------------------------------------------------------------------------------------

LOOP: dict[str, Any] = {}
LOOP["self"] = LOOP
DEEP: dict[str, Any] = {}
for _ in range(100_000):
    DEEP = {"x": DEEP}


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ([("a", 1)], "metadata is of type list; it must be a dict"),
        ("why", "metadata is of type str; it must be a dict"),
        (3, "metadata is of type int; it must be a dict"),
        ({"when": datetime(2026, 1, 28, tzinfo=UTC)}, "metadata is not JSON: "),
        ({"what": {1, 2}}, "metadata is not JSON: "),
        ({"raw": b"x"}, "metadata is not JSON: "),
        ({"rsi": np.float32(3)}, "metadata is not JSON: "),
        ({"rsi": float("nan")}, "metadata is not JSON: "),
        ({"rsi": float("inf")}, "metadata is not JSON: "),
        ({("a", "b"): 1}, "metadata is not JSON: "),
        ({"text": "\ud800"}, "metadata is not JSON: "),
        (LOOP, "metadata is not JSON: "),
        (DEEP, "metadata is not JSON: "),
        ({"text": "a\0b"}, "metadata holds a NUL character"),
        ({"\0": 1}, "metadata holds a NUL character"),
        ({"text": "\\\0"}, "metadata holds a NUL character"),
    ],
    ids=str(list(range(16))).strip("[]").split(", "),
)
def test_metadata_that_is_not_json_is_refused(metadata: object, complaint: str) -> None:
    assert refusal(metadata=metadata).startswith(complaint)


@pytest.mark.parametrize("letter", ["x", "ü", "€", '"'])
def test_metadata_of_8_kib_is_sent_and_a_byte_more_refused(letter: str) -> None:
    room = MAX_METADATA_BYTES - len('{"t": ""}')
    size = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
    text = letter * (room // size) + "x" * (room % size)
    strategy().send_signal("BUY", 1.0, 1.0, metadata={"t": text})
    said = refusal(metadata={"t": text + "x"})
    assert (
        said == f"metadata is {MAX_METADATA_BYTES + 1} bytes as JSON; at most {MAX_METADATA_BYTES} are sent"
    )


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"a": None, "b": True, "c": 1.5, "d": [1, {"e": "f"}]},
        {"text": "Größe \N{CHART WITH UPWARDS TREND}"},
        {"text": r"\u0000 in so many letters"},
        {"rsi": np.float64(3.5)},
        UserDict({"a": 1}),
    ],
)
def test_metadata_that_is_json_arrives_as_it_was(metadata: Mapping[str, Any]) -> None:
    author = strategy()
    author.send_signal("BUY", 1.0, 1.0, metadata=metadata)
    assert author.sent_signals[0].metadata == dict(metadata)


def test_metadata_arrive_as_json_has_them() -> None:
    author = strategy()
    author.send_signal("BUY", 1.0, 1.0, metadata={"levels": (1, 2), "by": {5: "x"}})
    assert author.sent_signals[0].metadata == {"levels": [1, 2], "by": {"5": "x"}}


def test_changing_metadata_afterwards_does_not_change_the_signal() -> None:
    author = strategy()
    metadata: dict[str, Any] = {"levels": [1, 2], "deep": {"x": 1}}
    author.send_signal("BUY", 1.0, 1.0, metadata=metadata)
    metadata["levels"].append(3)
    metadata["deep"]["x"] = 2
    metadata["new"] = True
    assert author.sent_signals[0].metadata == {"levels": [1, 2], "deep": {"x": 1}}


def test_the_default_metadata_are_shared_by_no_two_signals() -> None:
    author = strategy()
    author.send_signal("BUY", 1.0, 1.0)
    author.send_signal("BUY", 1.0, 1.0)
    author.sent_signals[0].metadata["mine"] = 1
    assert author.sent_signals[1].metadata == {}
