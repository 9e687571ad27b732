"""Code is tried on a made-up market in a process of its own: what its author is told."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from services.sandbox.rehearsal import BARS, Rehearsal
from services.sandbox.ward import Ward
from tests.sealed_hosts import load
from tests.sealed_world import warded

MOST_SIGNALS = 3


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    with warded() as ward:
        yield ward


def rehearsed(ward: Ward, source: str, state: str | None = None) -> Rehearsal:
    with closing(ward.prepare(load(source))) as link:
        rehearsal = Rehearsal(link, MOST_SIGNALS)
        rehearsal.play(state)
        return rehearsal


COMPLETE = """
warmup_bars = 7
watched_symbols = ["MSFT"]
told = []
def on_start(): told.append("start")
def on_bar(bar):
    told.append(bar.symbol)
    if bar.symbol == "AAPL" and not position.expected:
        send_signal("BUY", bar.close, 2)
def on_trade(trade): told.append("trade")
def on_execution(report):
    assert report.status == "filled" and position.quantity == 2
    told.append("report")
def on_gap(gap): told.append("gap")
def get_state(): return {each: told.count(each) for each in told}
def set_state(state): told.extend(state)
"""


def test_a_session_is_lived_through_from_its_start_to_its_state(ward: Ward) -> None:
    rehearsal = rehearsed(ward, COMPLETE)
    assert (rehearsal.problems, rehearsal.signals) == ([], 1)
    bars = BARS + 7
    told = f'{{"start":1,"MSFT":{bars},"AAPL":{bars},"report":1,"trade":5,"gap":1}}'
    assert (rehearsal.state or "").replace(" ", "") == told
    assert rehearsed(ward, COMPLETE, rehearsal.state).problems == []


def test_what_is_decided_in_the_warm_up_is_neither_counted_nor_filled(ward: Ward) -> None:
    filled = "def on_execution(report): told.append(report)\ndef get_state(): return {'filled': len(told)}"
    bought = "warmup_bars = 7\ntold = []\ndef on_bar(bar): send_signal('BUY', bar.close, 1)"
    rehearsal = rehearsed(ward, f"{bought}\n{filled}")
    assert (rehearsal.problems, rehearsal.signals) == ([], BARS)
    assert (rehearsal.state or "").replace(" ", "") == f'{{"filled":{BARS}}}'


@pytest.mark.parametrize(
    ("source", "problems"),
    [
        ("1 / 0", ["line 1, column 1: on_bar raised ZeroDivisionError: division by zero"]),
        (
            "def on_start():\n    nothing_of_this_name\ndef on_bar(bar):\n    nothing_either",
            ["line 2, column 5: on_start raised NameError: name 'nothing_of_this_name' is not defined"],
        ),
        (
            "def on_bar(bar): send_signal('BUY', 1, 1)\ndef on_execution(report): report.price",
            ["line 2, column 27: on_execution raised AttributeError: "],
        ),
        ("def on_bar(bar): pass\ndef get_state(): return 3", ["get_state raised StrategyRejected: "]),
        (
            "def on_bar(bar): pass\ndef on_gap(gap): gap.seq",
            ["line 2, column 18: on_gap raised AttributeError"],
        ),
        ("def on_bar(bar): pass\ndef on_stop(): 1 / 0", ["line 2, column 16: on_stop raised Zero"]),
        (
            "def on_bar(bar):\n    for _ in range(4): send_signal('BUY', 1, 1)",
            ["on_bar sent more than 3 signals at one event"],
        ),
        (
            "x = 1\nwhile True: pass",
            ["line 2, column "],
        ),
        (
            "import sys\ndef on_bar(bar): sys.modules['posix'].getppid()",
            ["on_bar: its process ended there: it made a system call that sealed code may not make"],
        ),
    ],
)
def test_what_goes_wrong_is_told_once_with_its_place(ward: Ward, source: str, problems: list[str]) -> None:
    said = rehearsed(ward, source).problems
    assert len(said) == len(problems), said
    assert all(each.startswith(problem) for each, problem in zip(said, problems, strict=True)), said


def test_a_loop_is_interrupted_and_ends_the_rehearsal(ward: Ward) -> None:
    rehearsal = rehearsed(ward, "while True: pass")
    assert rehearsal.is_over
    assert "on_bar was interrupted there: it computed for longer than one call may" in rehearsal.problems[0]


def test_a_state_that_cannot_be_taken_back_is_told(ward: Ward) -> None:
    source = "def on_bar(bar): pass\ndef set_state(state): state['sene']"
    assert rehearsed(ward, source, '{"seen": 1}').problems == [
        "line 2, column 23: set_state raised KeyError: 'sene'"
    ]


def test_a_code_that_is_tried_is_of_no_session(ward: Ward) -> None:
    rehearsed(ward, "1 / 0")
    assert ward.links() == {}
    assert ward.strikes.quarantined("session-1") is None
