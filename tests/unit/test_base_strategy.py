"""What an author of strategies leans on: the class, its parameters, and the answers to its signals."""

import json
from collections.abc import Mapping

import pytest

from models.errors import StrategyRejected
from models.execution import ExecutionReport
from models.gap import Gap
from models.market_data import Bar, Trade
from models.position import Position
from models.signal import Decision
from strategies.base_strategy import BaseStrategy, snake_case
from strategies.parameters import Parameter, Parameters
from tests.unit.strategy_driver import FIRST, bars_of, report_on

TRADE = Trade("AAPL", 100.0, 1.0, FIRST)


class ThreeMethods(BaseStrategy):
    """A subclass that knows `__init__`, `on_bar` and `on_trade`, and nothing else."""

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.seen = 0

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        if self.seen == 2:
            self.send_signal("BUY", bar.close, 10)

    def on_trade(self, trade: Trade) -> None:
        self.send_signal("SELL", trade.price, trade.size)


class Configured(ThreeMethods):
    parameters = Parameters(
        period=Parameter(14, minimum=2, maximum=50), side=Parameter("long", choices=("long", "short"))
    )

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.warmup_bars = self.parameters.period + 1


def strategy() -> ThreeMethods:
    return ThreeMethods("strategy-1", "AAPL", "session-1")


# --- a subclass ---------------------------------------------------------------------------------------------


def test_a_subclass_of_three_methods_works_by_hand() -> None:
    author = strategy()
    for bar in bars_of([100.0, 101.0, 102.0]):
        author.on_bar(bar)
    author.on_trade(TRADE)
    assert [(sent.action, sent.price, sent.quantity) for sent in author.sent_signals] == [
        ("BUY", 101.0, 10.0),
        ("SELL", 100.0, 1.0),
    ]


def test_a_subclass_of_three_methods_may_be_told_everything() -> None:
    author = ThreeMethods.build("strategy-1", "AAPL", "session-1", {})
    author.set_state(json.loads(json.dumps(author.get_state())))
    author.on_start()
    author.on_gap(Gap(stream="bars", symbol="AAPL", since=FIRST, until=FIRST, reason="reconnected"))
    author.on_stop()
    assert (author.sent_signals, author.warmup_bars, author.deadline_ms) == ([], 0, None)


def test_a_session_id_is_not_needed() -> None:
    author = ThreeMethods("strategy-1", "AAPL")
    assert (author.strategy_id, author.symbol, author.session_id) == ("strategy-1", "AAPL", None)


@pytest.mark.parametrize("missing", ["on_bar", "on_trade"])
def test_a_subclass_without_one_of_the_two_handlers_cannot_be_made(missing: str) -> None:
    methods = {name: lambda *_: None for name in ("on_bar", "on_trade") if name != missing}
    with pytest.raises(TypeError, match=missing):
        type("Incomplete", (BaseStrategy,), methods)("strategy-1", "AAPL")


def test_an_init_that_forgets_its_parent_is_told_what_to_write() -> None:
    class Forgetful(ThreeMethods):
        def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
            self.given = strategy_id, symbol, session_id

    with pytest.raises(StrategyRejected, match=r"Forgetful.__init__ must call super\(\).__init__\("):
        Forgetful.build("strategy-1", "AAPL")


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("BuyTheDip", "buy_the_dip"),
        ("MACDTrend", "macd_trend"),
        ("RSI2", "rsi2"),
        ("SmaCross20Days", "sma_cross20_days"),
        ("HTTPServer2Go", "http_server2_go"),
        ("already_snake", "already_snake"),
        ("X", "x"),
    ],
)
def test_a_class_without_a_name_is_called_by_its_own_in_snake_case(class_name: str, name: str) -> None:
    cls: type[BaseStrategy] = type(class_name, (ThreeMethods,), {})
    assert (snake_case(class_name), cls.name) == (name, name)


def test_a_name_is_not_inherited() -> None:
    class First(ThreeMethods):
        name = "chosen"

    class Second(First):
        pass

    assert (First.name, Second.name) == ("chosen", "second")


# --- parameters ---------------------------------------------------------------------------------------------


def test_parameters_are_in_place_before_init_runs() -> None:
    author = Configured.build("strategy-1", "AAPL", None, {"period": 20})
    assert (author.parameters.period, author.parameters.side, author.warmup_bars) == (20, "long", 21)


def test_made_by_hand_a_strategy_has_its_defaults() -> None:
    author = Configured("strategy-1", "AAPL")
    assert (dict(author.parameters), author.warmup_bars) == ({"period": 14, "side": "long"}, 15)


def test_two_instances_have_parameters_of_their_own() -> None:
    first, second = (Configured.build("strategy-1", "AAPL", None, {"period": each}) for each in (3, 4))
    assert (first.parameters.period, second.parameters.period) == (3, 4)
    assert isinstance(Configured.parameters, Parameters)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"perod": 20}, "no parameter 'perod'; did you mean 'period'?"),
        ({"period": 1}, "period is 1; it must be at least 2"),
        ({"period": "20"}, "period is '20'; it must be of type int"),
        ({"side": "up"}, "side is 'up'; it must be one of long, short"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_made(
    given: Mapping[str, object], complaint: str
) -> None:
    with pytest.raises(StrategyRejected) as refused:
        Configured.build("strategy-1", "AAPL", None, given)
    assert str(refused.value) == complaint


# --- position and answers -----------------------------------------------------------------------------------


class Listening(ThreeMethods):
    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.heard: list[tuple[str, float]] = []

    def on_execution(self, report: ExecutionReport) -> None:
        self.heard.append((report.status, self.position.quantity))


def test_what_was_sent_is_expected_and_held_once_it_is_filled() -> None:
    author = strategy()
    author.send_signal("BUY", 100.0, 10)
    assert (author.position.quantity, author.position.expected) == (0.0, 10.0)
    author.apply_report(report_on(author.sent_signals[0]))
    assert author.position == Position(10.0, 100.0)


def test_an_author_cannot_set_the_position_and_is_told_what_to_do_instead() -> None:
    author = strategy()
    with pytest.raises(StrategyRejected, match="under another name"):
        author.position = Position(5.0, 1.0)  # type: ignore[misc]  # what a newcomer might write
    with pytest.raises(StrategyRejected, match="sets its position"):
        setattr(author, "position", 3)  # noqa: B010 — the same
    assert author.position == Position()
    author.booked_position = Position(5.0, 1.0)
    assert author.position.quantity == 5.0


def test_a_rejected_signal_is_expected_no_longer() -> None:
    author = strategy()
    author.send_signal("BUY", 100.0, 10)
    author.apply_report(report_on(author.sent_signals[0], "rejected"))
    assert author.position == Position()


def test_on_execution_finds_the_fill_in_the_position() -> None:
    author = Listening("strategy-1", "AAPL")
    author.send_signal("BUY", 100.0, 10)
    author.send_signal("SELL", 100.0, 4)
    author.apply_report(report_on(author.sent_signals[0]))
    author.apply_report(report_on(author.sent_signals[1], "expired"))
    assert author.heard == [("filled", 10.0), ("expired", 10.0)]


class Sink:
    def __init__(self) -> None:
        self.taken: list[Decision] = []

    def emit(self, decision: Decision) -> str:
        self.taken.append(decision)
        return f"id-{len(self.taken)}"


def test_a_host_takes_the_decisions_instead_and_gives_the_ids() -> None:
    author, sink = strategy(), Sink()
    author.attach(sink)
    assert author.send_signal("BUY", 100.0, 10) == "id-1"
    assert sink.taken == [Decision(action="BUY", price=100.0, quantity=10.0)]
    assert author.sent_signals == []


def test_a_host_is_not_asked_about_what_is_refused() -> None:
    author, sink = strategy(), Sink()
    author.attach(sink)
    with pytest.raises(StrategyRejected):
        author.send_signal("BUY", -1.0, 10)
    assert sink.taken == []
