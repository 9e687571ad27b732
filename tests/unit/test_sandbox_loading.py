"""The three forms of stored source, loaded in this very process: what a host does before its first event."""

import sys
from collections.abc import Iterator

import pytest

from models.errors import StrategyRejected
from models.market_data import Trade
from services.sandbox.host.loading import NotLoadable, load_strategy
from services.sandbox.protocol import LONGEST_MESSAGE
from strategies.base_strategy import BaseStrategy
from tests.sealed_hosts import NOON, bar, load

A_CLASS = """
from strategies.base_strategy import BaseStrategy
from strategies.parameters import Parameter, Parameters

class _Common(BaseStrategy):
    def on_trade(self, trade):
        pass

class Dip(_Common):
    parameters = Parameters(size=Parameter(2.0))
    warmup_bars = 3
    deadline_ms = 400
    def on_bar(self, bar):
        self.send_signal("BUY", bar.close, self.parameters.size)
"""
HANDLERS = """
warmup_bars = 2
watched_symbols = ["MSFT", "AAPL"]
seen = []

def on_bar(bar):
    global seen
    seen.append(bar.close)
    if not position.expected:
        send_signal("BUY", bar.close, parameters.size, metadata={"held": position.expected})
        seen.append(position.expected)

def get_state():
    return {"seen": seen}
"""
SCRIPT = """
count = state.get("count", 0) + 1
state["count"] = count
if count == 2:
    send_signal("SELL", bar.close, parameters["size"])
"""


@pytest.fixture(autouse=True)
def _no_module_is_left() -> Iterator[None]:
    yield
    sys.modules.pop("strategy", None)


def test_a_class_is_made_as_a_class_from_a_file_is() -> None:
    strategy, form, _ = load_strategy(load(A_CLASS, {"size": 5}))
    assert (form, type(strategy).__name__, strategy.warmup_bars, type(strategy).deadline_ms) == (
        "class",
        "Dip",
        3,
        400,
    )
    assert isinstance(strategy, BaseStrategy)
    strategy.on_bar(bar())
    assert [(s.action, s.quantity) for s in strategy.sent_signals] == [("BUY", 5.0)]


def test_bare_handlers_find_the_position_as_it_is_now() -> None:
    strategy, form, watched = load_strategy(load(HANDLERS, {"size": 3.0}))
    strategy.on_bar(bar(0))
    strategy.on_bar(bar(1, 101.0))
    strategy.on_trade(Trade("AAPL", 1.0, 1.0, NOON))
    assert (form, strategy.warmup_bars, watched) == ("handlers", 2, ("MSFT",))
    assert [s.quantity for s in strategy.sent_signals] == [3.0]
    assert strategy.get_state() == {"seen": [100.0, 3.0, 101.0]}


def test_handlers_may_declare_their_parameters() -> None:
    source = "parameters = Parameters(size=Parameter(2, minimum=1))\ndef on_bar(bar): pass"
    strategy, *_ = load_strategy(load(source, {"size": 4}))
    assert strategy.parameters.size == 4
    with pytest.raises(NotLoadable, match="size is 0; it must be at least 1"):
        load_strategy(load(source, {"size": 0}))


def test_a_script_runs_once_per_bar_and_keeps_its_state() -> None:
    strategy, form, _ = load_strategy(load(SCRIPT, {"size": 1.5}))
    for minute in range(3):
        strategy.on_bar(bar(minute))
    assert form == "script"
    assert [(s.action, s.quantity) for s in strategy.sent_signals] == [("SELL", 1.5)]
    assert strategy.get_state() == {"count": 3}
    strategy.set_state({"count": 1})
    strategy.on_bar(bar(4))
    assert len(strategy.sent_signals) == 2


def test_one_may_start_from_a_strategy_that_there_is() -> None:
    source = "from strategies.sma_cross import SmaCross\nclass Mine(SmaCross):\n    pass"
    strategy, form, _ = load_strategy(load(source, {"fast": 3, "slow": 9}))
    assert (form, strategy.parameters.slow) == ("class", 9)


@pytest.mark.parametrize(
    ("source", "reason", "line", "column"),
    [
        ("x = 1\ndef on_bar(bar)\n    pass", "SyntaxError: expected ':'", 2, 16),
        ("def on_bar(bar):\n\tif bar:\n        pass", "TabError", 3, None),
        ("x = '\0'", "null bytes", None, None),
        ("import math\nmath.no_such\ndef on_bar(bar): pass", "AttributeError: module 'math'", 2, None),
        ("def on_bar(bar): pass\nsend_signal('BUY', 1, 1)", "send_signal answers an event", 2, None),
        ("def on_start(): pass", "neither on_bar nor on_trade", None, None),
        ("watched_symbols = 'MSFT'\ndef on_bar(bar): pass", "watched_symbols is 'MSFT'", None, None),
        ("async def on_bar(bar): pass\ndef on_trade(t): pass", "async and would never run", None, None),
        ("raise SystemExit('bye')\ndef on_bar(bar): pass", "SystemExit: bye", 1, None),
        ("class A(BaseStrategy): pass", "A must define on_bar and on_trade", None, None),
        ("class A(BaseStrategy): pass\nclass B(BaseStrategy): pass", "there are: A, B", None, None),
        (A_CLASS.replace("warmup_bars = 3", "warmup_bars = -1"), "warmup_bars is -1", None, None),
        (A_CLASS.replace("2.0))", "2.0), no=1)"), "parameter no is 1", 10, None),
        (f"{HANDLERS}\nraise ValueError('x' * 9999)", "ValueError: xxx", 16, None),
    ],
)
def test_what_cannot_be_loaded_says_where_and_why(
    source: str, reason: str, line: int | None, column: int | None
) -> None:
    with pytest.raises(NotLoadable) as refused:
        load_strategy(load(source))
    assert reason in refused.value.reason
    assert len(refused.value.reason) <= LONGEST_MESSAGE
    assert refused.value.line == line
    assert column is None or refused.value.column == column


def test_an_error_whose_text_raises_is_still_told() -> None:
    source = "class E(Exception):\n    def __str__(self): raise E\ndef on_bar(bar): pass\nraise E"
    with pytest.raises(NotLoadable, match="its text cannot be had"):
        load_strategy(load(source))


def test_a_script_cannot_send_before_a_bar_is_there() -> None:
    strategy, *_ = load_strategy(load("send_signal('HOLD', 1, 1)"))
    with pytest.raises(StrategyRejected, match="action is 'HOLD'"):
        strategy.on_bar(bar())
