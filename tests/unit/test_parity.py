"""What parity compares, and how its two sides are fed and answered."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from models.market_data import Bar, Trade
from services.history.feed import message_of
from services.history.replay import Message
from services.parity import past
from services.parity.comparison import differences
from services.parity.gateway import RememberingGateway
from services.parity.lineup import Entry, events_of
from strategies.registry import StrategyRegistry
from tests.unit.playing import Scripted, bars_from, scripted

START = datetime(2026, 1, 28, 10, tzinfo=UTC)


def _signal(number: int, minute: int, session: str = "s") -> bytes:
    at = (START + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")
    return json.dumps({"signalId": str(number), "sessionId": session, "timestamp": at}).encode()


def test_sides_that_agree_have_no_difference() -> None:
    signals = {"a": [_signal(1, 1), _signal(2, 1)], "b": []}
    assert differences(signals, {"a": [_signal(1, 1), _signal(2, 1)]}) == []


@pytest.mark.parametrize(
    ("live", "past", "number"),
    [
        ([1, 2], [2, 1], 0),  # another order
        ([1], [1, 2], 1),  # one is missing live
        ([1, 2], [1], 1),  # one is too many live
        ([1, 3, 2], [1, 2], 1),
    ],
)
def test_the_first_signal_in_which_a_session_differs_is_found(
    live: list[int], past: list[int], number: int
) -> None:
    sides = ({"s": [_signal(each, each) for each in side]} for side in (live, past))
    (found,) = differences(*sides)
    assert (found.session, found.number) == ("s", number)
    assert found.live is None or found.live["signalId"] == str(live[number])
    assert found.past is None or found.past["signalId"] == str(past[number])


def test_of_several_sessions_the_one_that_differs_earliest_comes_first() -> None:
    live = {"a": [_signal(1, 9)], "b": [_signal(2, 3)], "c": [_signal(3, 5)]}
    assert [each.session for each in differences(live, {})] == ["b", "c", "a"]


def test_events_are_those_that_a_worker_delivers() -> None:
    bar = Bar("IBM", "1m", 1.0, 1.0, 1.0, 1.0, 1.0, START)
    later = msgspec.structs.replace(bar, timestamp=START + timedelta(minutes=1))
    trade = Trade("IBM", 1.0, 1.0, START)
    messages = [
        *(message_of(each) for each in (bar, trade, later, bar, trade)),
        Message(0.0, "market_data:MSFT", message_of(bar).payload),
        Message(0.0, "market_data:IBM", b"{}"),
    ]
    assert list(events_of(messages)) == [bar, trade, later, trade]


def test_what_hangs_before_its_first_bar_is_not_played_and_says_where(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NeverMade(Scripted):
        name = "never_made"

        def __init__(self, *given: str) -> None:
            super().__init__(*given)
            while True:
                pass

    monkeypatch.setattr(past, "CALL_SECONDS", 0.2)
    entries = [Entry(name, "AAPL") for name in ("never_made", "planned")]

    bodies, refused = past.play(
        StrategyRegistry([NeverMade, scripted({1: ("BUY", 1.0)})]), entries, bars_from([(1.0, 1.0)] * 3)
    )

    assert {session: len(signals) for session, signals in bodies.items()} == {"planned-AAPL": 1}
    assert list(refused) == ["never_made-AAPL"]
    assert (
        "never_made cannot be made: a call took longer than 0.2 s, in __init__" in refused["never_made-AAPL"]
    )


def test_the_gateway_sells_nothing_that_is_not_held() -> None:
    gateway = RememberingGateway()
    order = {"signalId": "1", "sessionId": "s", "quantity": 0.3, "price": 10.0}
    answers = [
        gateway.answer(json.dumps(order | {"action": action}).encode())[0]
        for action in ("SELL", "BUY", "SELL", "SELL")
    ]
    assert answers == [400, 201, 201, 400]
    assert len(gateway.bodies["s"]) == 4
