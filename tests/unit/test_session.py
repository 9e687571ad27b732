"""A session: identity of signals, books of answers, containment of errors."""

import ctypes
import gc
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from models.errors import StrategyTimedOut
from models.execution import ExecutionReport
from models.market_data import Bar, Trade
from models.session import Lifecycle, SessionIdentity, SessionState
from models.signal import Signal
from services.session import Session, SessionHost, deliver_bar, deliver_trade
from services.turn import Turn
from strategies.base_strategy import BaseStrategy

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)


class Scripted(BaseStrategy):
    """Does on each bar what the test says: raise an error, or send as many signals."""

    name = "scripted"

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.script: list[Any] = []
        self.calls: list[Any] = []

    def on_bar(self, bar: Bar) -> None:
        self.calls.append(bar)
        self._play(bar.close)

    def on_trade(self, trade: Trade) -> None:
        self.calls.append(trade)
        self._play(trade.price)

    def on_execution(self, report: ExecutionReport) -> None:
        self.calls.append(report)
        self._play(1.0)

    def on_stop(self) -> None:
        self.calls.append("stop")
        self._play(1.0)

    def _play(self, price: float) -> None:
        step = self.script.pop(0) if self.script else 0
        if isinstance(step, BaseException):
            raise step
        if callable(step):
            step()
            return
        for _ in range(step):
            self.send_signal("BUY", price, 2)


class World:
    """Plays the worker around a session."""

    def __init__(
        self, *, session_id: str | None = "s1", max_errors: int = 3, refusal: str | None = None
    ) -> None:
        self.signals: list[Signal] = []
        self.withdrawn: list[str] = []
        self.while_submitting: Callable[[], None] = lambda: None
        self.barred: list[str | None] = []
        self.posted: list[Any] = []
        self.unrouted: list[Session] = []
        self.errors: list[str] = []
        self.refusal = refusal
        self.strategy = Scripted("scripted", "AAPL", session_id)
        identity = SessionIdentity(
            key=session_id or "scripted",
            symbol="AAPL",
            asset_type="stock",
            strategy_id="scripted",
            session_id=session_id,
            started_at=NOON,
        )
        host = SessionHost(
            submit=self._submit,
            post=lambda _, event: self.posted.append(event),
            unroute=lambda _, session: self.unrouted.append(session),
            count_error=self.errors.append,
            changed=lambda _: None,
            max_errors=max_errors,
            withdraw=self.withdrawn.extend,
        )
        self.turn = Turn()
        self.session = Session(identity, self.strategy, host)
        self.session.start(Turn())
        self.session.hand_over(self.turn)
        self.session.begin()

    def _submit(self, signal: Signal, _received_at: float, barred: str | None) -> str | None:
        self.while_submitting()
        self.signals.append(signal)
        self.barred.append(barred)
        return self.refusal

    def bar(self, minute: int) -> None:
        deliver_bar(iter((self.session,)), bar(minute), self.turn)

    def ids(self) -> list[str]:
        return [signal.signal_id for signal in self.signals]


def bar(minute: int) -> Bar:
    return Bar("AAPL", "1m", 100.0, 101.0, 99.0, 100.5, 10.0, NOON + timedelta(minutes=minute))


def executed(signal: Signal, **changed: Any) -> ExecutionReport:
    report = {
        "signal_id": signal.signal_id,
        "symbol": signal.symbol,
        "action": signal.action,
        "quantity": signal.quantity,
        "status": "filled",
        "filled_quantity": signal.quantity,
        "filled_price": signal.price,
    }
    return ExecutionReport(**{**report, **changed})


def test_the_same_decisions_have_the_same_ids_in_another_process() -> None:
    first, second = World(), World()
    for world in (first, second):
        world.strategy.script = [2, 0, 1]
        for minute in range(3):
            world.bar(minute)
    assert first.ids() == second.ids()
    assert len(set(first.ids())) == 3


def test_two_sessions_of_one_strategy_never_share_an_id() -> None:
    first, second = World(session_id="s1"), World(session_id="s2")
    for world in (first, second):
        world.strategy.script = [1]
        world.bar(0)
    assert first.ids() != second.ids()


def test_equal_trades_of_one_instant_give_signals_with_ids_of_their_own() -> None:
    world = World()
    world.strategy.script = [1, 1]
    for _ in range(2):
        deliver_trade(iter((world.session,)), Trade("AAPL", 100.0, 5.0, NOON), world.turn)
    assert len(set(world.ids())) == 2


def test_a_signal_carries_the_market_time_of_the_bar_it_answers() -> None:
    world = World()
    world.strategy.script = [1]
    world.bar(7)
    assert world.signals[0].timestamp == NOON + timedelta(minutes=7)


def test_an_answer_is_booked_before_the_strategy_hears_of_it() -> None:
    world = World()
    world.strategy.script = [1]
    world.bar(0)
    assert world.strategy.position.expected == 2.0
    assert not world.strategy.position
    world.session.handle(executed(world.signals[0]))
    assert world.strategy.position.quantity == 2.0
    assert world.strategy.position.working == 0.0
    assert world.session.outcomes == {"executed": 1}


def test_an_answer_that_comes_twice_is_booked_once() -> None:
    world = World()
    world.strategy.script = [1]
    world.bar(0)
    for _ in range(2):
        world.session.handle(executed(world.signals[0]))
    assert world.strategy.position.quantity == 2.0


def test_an_answer_for_an_earlier_session_under_the_same_key_is_not_booked() -> None:
    world, earlier = World(), World()
    earlier.strategy.script = [1]
    earlier.bar(0)
    world.session.handle(executed(earlier.signals[0]))
    assert world.strategy.position.quantity == 0.0


def test_a_refused_signal_comes_back_as_a_report_and_holds_nothing() -> None:
    world = World(refusal="outbox_full")
    world.strategy.script = [1]
    world.bar(0)
    assert [(report.status, report.reason) for report in world.posted] == [("refused", "outbox_full")]
    world.session.handle(world.posted[0])
    assert world.strategy.position.expected == 0.0
    assert world.session.outcomes == {"refused": 1}


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), RecursionError(), MemoryError(), SystemExit(1), KeyboardInterrupt(), GeneratorExit()],
)
def test_whatever_a_strategy_raises_stays_with_it(error: BaseException) -> None:
    world, other = World(), World(session_id="s2")
    world.strategy.script = [error]
    deliver_bar(iter((world.session, other.session)), bar(0), world.turn)
    assert other.session.bars == 1
    assert world.session.state is SessionState.RUNNING
    assert world.errors == ["scripted"]


def interrupted_in_c() -> None:
    """Be interrupted inside a function in C that raises by itself: the interruption is still to come then."""
    interrupt = ctypes.pythonapi.PyThreadState_SetAsyncExc
    thread, error = ctypes.c_ulong(threading.get_ident()), ctypes.py_object(StrategyTimedOut)
    b"".join(map(interrupt, [thread], [error]))  # what it returns are no bytes: TypeError


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Keep the collector still: hypothesis has it call a function, in which an interruption would be lost."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("kind", ["bar", "trade", "report"])
def test_an_interruption_that_comes_after_an_error_is_still_that_of_its_session(kind: str) -> None:
    world, other = World(), World(session_id="s2")
    if kind == "report":
        world.strategy.script = [1, interrupted_in_c]
        world.bar(0)
        world.session.handle(executed(world.signals[0]))
    else:
        world.strategy.script = [interrupted_in_c]
        both = iter((world.session, other.session))
        if kind == "bar":
            deliver_bar(both, bar(0), world.turn)
        else:
            deliver_trade(both, Trade("AAPL", 100.0, 5.0, NOON), world.turn)
        assert other.session.bars + other.session.trades == 1
    assert world.session.state is SessionState.QUARANTINED
    assert "in interrupted_in_c" in (world.session.reason or "")
    assert world.turn.session is None


@pytest.mark.parametrize("late", [False, True])
def test_what_was_sent_in_the_call_that_hung_is_withdrawn_and_nothing_else(late: bool) -> None:  # noqa: FBT001 — a case
    world = World()

    def hang() -> None:
        for _ in range(2):
            world.strategy.send_signal("BUY", 100.0, 2)
        if late:  # the supervisor's word, while the thread is stuck
            world.session.end(SessionState.QUARANTINED, "did not return")
        raise StrategyTimedOut

    world.strategy.script = [1, hang]
    world.bar(0)
    world.bar(1)
    assert len(world.signals) == 3
    assert set(world.withdrawn) == set(world.ids()[1:])


def test_a_call_that_hangs_without_a_signal_withdraws_none() -> None:
    world = World()
    world.strategy.script = [1, StrategyTimedOut()]
    world.bar(0)
    world.bar(1)
    assert world.session.state is SessionState.QUARANTINED
    assert world.withdrawn == []


def test_a_signal_that_is_sent_while_the_supervisor_gives_the_session_up_is_withdrawn_too() -> None:
    world = World()

    def given_up() -> None:
        world.session.end(SessionState.QUARANTINED, "did not return")

    world.while_submitting = given_up
    world.strategy.script = [1]
    world.bar(0)
    assert set(world.withdrawn) == set(world.ids())


def test_errors_withdraw_nothing() -> None:
    world = World(max_errors=1)

    def fail() -> None:
        world.strategy.send_signal("BUY", 100.0, 2)
        raise ValueError

    world.strategy.script = [fail]
    world.bar(0)
    assert (world.session.state, world.withdrawn) == (SessionState.ERROR, [])


def test_too_many_errors_in_a_row_end_a_session_with_the_last_reason() -> None:
    world = World(max_errors=3)
    world.strategy.script = [ValueError("one"), ValueError("two"), ValueError("three")]
    for minute in range(3):
        world.bar(minute)
    assert world.session.state is SessionState.ERROR
    assert world.session.reason == "3 errors in a row, the last: ValueError: three"
    assert world.unrouted == [world.session]


def test_a_success_between_errors_starts_the_count_again() -> None:
    world = World(max_errors=2)
    world.strategy.script = [ValueError(), 0, ValueError(), 0, ValueError()]
    for minute in range(5):
        world.bar(minute)
    assert world.session.state is SessionState.RUNNING
    assert len(world.errors) == 3


class Unspeakable(Exception):
    """Cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [Unspeakable(), ValueError("\ud800"), ValueError("x" * 1_000_000)])
def test_the_text_of_an_error_can_do_no_harm(error: Exception) -> None:
    world = World(max_errors=1)
    world.strategy.script = [error]
    world.bar(0)
    assert world.session.state is SessionState.ERROR
    assert len(str(world.session.reason).encode()) < 1_000


def test_a_strategy_that_breaks_what_its_host_books_can_still_be_described() -> None:
    world = World()
    world.strategy.booked_position = 0  # type: ignore[assignment]  # what nobody should write
    assert world.session.describe()["position"]["quantity"] == 0.0


def test_a_strategy_that_sends_without_end_is_barred_before_it_fills_the_outbox() -> None:
    world = World()
    world.strategy.script = [1_005]
    world.bar(0)
    assert world.barred == [None] * 1_000 + ["too_many_open_signals"] * 5


def test_on_stop_is_called_once_however_often_it_is_asked() -> None:
    world = World()
    world.session.handle(Lifecycle("stop", NOON))
    world.session.handle(Lifecycle("stop", NOON))
    assert world.strategy.calls == ["stop"]
    assert world.session.state is SessionState.STOPPED


def test_a_signal_of_on_stop_still_goes_out() -> None:
    world = World()
    world.strategy.script = [1]
    world.session.handle(Lifecycle("stop", NOON))
    assert len(world.signals) == 1


def test_a_signal_given_in_answer_to_an_execution_has_an_id_of_its_own() -> None:
    world = World()
    world.strategy.script = [1, 1]
    world.bar(0)
    world.session.handle(executed(world.signals[0]))
    assert len(set(world.ids())) == 2


def test_describe_speaks_the_names_of_the_wire() -> None:
    described = World().session.describe()
    assert described["sessionId"] == "s1"
    assert described["strategyId"] == "scripted"
    assert described["state"] == "RUNNING"
    assert described["startedAt"] == "2026-01-28T12:00:00+00:00"
