"""The three forms of stored source, loaded in this very process: what a host does before its first event."""

import ast
import sys
from collections.abc import Iterator

import pytest

from models.errors import StrategyRejected
from models.market_data import Trade
from services.sandbox.host.loading import load_strategy
from services.sandbox.host.reading import NotLoadable, check_source, form_of
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
        ("async def on_bar(bar): pass\ndef on_trade(t): pass", "async and would never run", 1, 1),
        ("def on_bar(bar): pass\ndef on_gap(gap):\n    yield", "on_gap is a generator", 2, 1),
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


@pytest.mark.parametrize(
    ("hook", "parameters", "given", "what"),
    [
        ("on_bar", "", "bar", "the bar"),
        ("on_bar", "bar, extra, more", "bar", "the bar"),
        ("on_trade", "", "trade", "the trade"),
        ("on_trade", "trade, *, key", "trade", "the trade"),
        ("on_start", "session", "", "nothing"),
        ("on_stop", "session, /", "", "nothing"),
        ("on_gap", "", "gap", "the gap"),
        ("on_execution", "order, report", "report", "the report"),
        ("get_state", "state", "", "nothing"),
        ("set_state", "", "state", "the state"),
    ],
)
def test_a_handler_that_could_not_be_called_says_how_it_is_to_be_written(
    hook: str, parameters: str, given: str, what: str
) -> None:
    others = [each for each in ("on_bar", "on_trade") if each != hook]
    bare = "".join(f"def {each}(event): pass\n" for each in others)
    shown = parameters.replace(", /", "").replace("*, ", "")
    with pytest.raises(NotLoadable) as refused:
        load_strategy(load(f"{bare}def {hook}({parameters}): pass"))
    assert refused.value.reason == f"{hook}({shown}) is called with {what}: write `def {hook}({given}):`"
    assert (refused.value.line, refused.value.column) == (len(others) + 1, 1)

    methods = "".join(f"    def {each}(self, event): pass\n" for each in others)
    with pytest.raises(NotLoadable) as refused:
        load_strategy(load(f"class A(BaseStrategy):\n{methods}    def {hook}(self, {parameters}): pass"))
    own, given = f"self, {shown}".removesuffix(", "), f"self, {given}".removesuffix(", ")
    assert refused.value.reason == f"A.{hook}({own}) is called with {what}: write `def {hook}({given}):`"
    assert (refused.value.line, refused.value.column) == (len(others) + 2, 5)


ADAPTED = """
import functools
def doubled(function):
    @functools.wraps(function)
    def call(bar):
        return function(bar, bar)
    return call
@doubled
def on_bar(bar, again):
    assert bar is again
"""


def test_a_method_without_self_and_a_decorated_handler_are_told_apart() -> None:
    selfless = "class A(BaseStrategy):\n    def on_bar(bar): pass\n    def on_trade(self, t): pass"
    with pytest.raises(NotLoadable, match=r"A.on_bar\(bar\) is called with the bar: write `def on_bar\(self"):
        load_strategy(load(selfless))
    load_strategy(load(ADAPTED)).strategy.on_bar(bar())
    wrong = ADAPTED.replace("def call(bar)", "def call()").replace("function(bar, bar)", "function(1, 1)")
    with pytest.raises(NotLoadable, match=r"on_bar\(\) is called with the bar"):
        load_strategy(load(wrong))


@pytest.mark.parametrize(
    "right",
    [
        "def on_bar(*events): pass",
        "def on_bar(candle, size=1, *, key=None, **more): pass",
        "class A(BaseStrategy):\n    on_bar = staticmethod(print)\n    def on_trade(self, trade): pass",
        (
            "class A(BaseStrategy):\n"
            "    @classmethod\n    def on_bar(cls, bar): pass\n    @staticmethod\n    def on_trade(t): pass"
        ),
        "on_bar = print",
        "def on_bar(bar): on_breakout(bar)\ndef on_breakout(bar): pass",
        "def on_bar(bar): globals()['on_' + bar.timeframe](bar)\ndef on_1m(bar): pass",
        (
            "class A(BaseStrategy):\n"
            "    def on_bar(self, bar): self.on_breakout(bar)\n    def on_trade(self, trade): pass\n"
            "    def on_breakout(self, bar): pass\n    def get_stats(self): pass"
        ),
    ],
)
def test_handlers_may_be_written_in_every_way_that_can_be_called(right: str) -> None:
    load_strategy(load(right)).strategy.on_bar(bar())


@pytest.mark.parametrize(
    ("source", "reason", "line", "column"),
    [
        ("x = 1\ndef on_bars(bar): pass", "nobody calls on_bars; did you mean on_bar?", 2, 1),
        ("def onBar(bar): pass\nif bar.close: pass", "nobody calls onBar; did you mean on_bar?", 1, 1),
        (
            "def on_bar(b): pass\ndef on_trades(t): pass",
            "nobody calls on_trades; did you mean on_trade?",
            2,
            1,
        ),
        ("def on_bar(b): pass\ndef on_tick(t): pass", "nobody calls on_tick; what is called: on_bar,", 2, 1),
        ("def on_bar(b): pass\ndef getState(): pass", "nobody calls getState; did you mean get_state?", 2, 1),
        ("def decide(bar): pass", "nothing here is run at a bar: write `def on_bar(bar):`", 1, 1),
        ("'Mine.'\nsize = 3\nclass A:\n    def on_bar(self, bar): pass", "class A is no strategy: ", 3, 1),
        (
            f"{A_CLASS}\n    def on_execute(self, report): pass",
            "nobody calls Dip.on_execute; did you mean on_execution?",
            16,
            5,
        ),
        (
            "def on_bar(): pass\ndef on_trades(t): pass",
            "write `def on_bar(bar):`; line 2, column 1: nobody calls on_trades",
            1,
            1,
        ),
    ],
)
def test_what_nobody_would_ever_call_is_told_with_what_was_meant(
    source: str, reason: str, line: int, column: int
) -> None:
    with pytest.raises(NotLoadable) as refused:
        load_strategy(load(source))
    assert reason in refused.value.reason
    assert (refused.value.line, refused.value.column) == (line, column)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("x = 1\nimport nothing_of_this_name", 2),
        ("from nothing_of_this_name import x", 1),
        ("import json.nothing_of_this_name", 1),
        ("from . import beside", 1),
        ("def on_bar(bar):\n    import nothing_of_this_name", 2),
        (
            (
                "class A(BaseStrategy):\n    def on_trade(self, trade): pass\n"
                "    def on_bar(self, bar):\n        import nothing_of_this_name"
            ),
            4,
        ),
    ],
)
def test_an_import_that_will_fail_is_told_before_it_is_reached(source: str, line: int) -> None:
    with pytest.raises(NotLoadable, match=r"no module '|stands alone") as refused:
        load_strategy(load(source))
    assert refused.value.line == line


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    import nothing_of_this_name\nexcept ImportError:\n    pass",
        "if bar.close < 0:\n    import nothing_of_this_name",
        "import contextlib\nwith contextlib.suppress(ImportError):\n    import nothing_of_this_name",
        "def plot():\n    import nothing_of_this_name\nx = plot\nx.__name__.upper()",
        "def on_bar(bar):\n    if bar.close > 0:\n        return\n    import nothing_of_this_name",
        (
            "from __future__ import annotations\nimport json, collections.abc\n"
            "from strategies.indicators import SMA\nSMA(3)"
        ),
    ],
)
def test_an_import_that_may_never_be_reached_is_left_alone(source: str) -> None:
    load_strategy(load(source)).strategy.on_bar(bar())


def test_a_formula_of_any_depth_is_read() -> None:
    tree = ast.parse("def on_bar(bar):\n    return bar.close")
    [handler] = tree.body
    assert isinstance(handler, ast.FunctionDef)
    [formula] = handler.body
    assert isinstance(formula, ast.Return)
    for _ in range(5000):
        formula.value = ast.BinOp(formula.value or ast.Constant(1), ast.Add(), ast.Constant(1))
    check_source(tree, form_of(tree), lambda _: None)


def test_an_error_whose_text_raises_is_still_told() -> None:
    source = "class E(Exception):\n    def __str__(self): raise E\ndef on_bar(bar): pass\nraise E"
    with pytest.raises(NotLoadable, match="its text cannot be had"):
        load_strategy(load(source))


def test_a_script_cannot_send_before_a_bar_is_there() -> None:
    strategy, *_ = load_strategy(load("send_signal('HOLD', 1, 1)"))
    with pytest.raises(StrategyRejected, match="action is 'HOLD'"):
        strategy.on_bar(bar())
