"""The StrategyManager: every row of the control table, and what becomes of sessions that cannot start."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import StorageUnavailable, StrategyRejected
from models.market_data import Bar, ControlEvent, Trade
from models.session import SessionRecord, SessionState
from services.routing import Router, sessions_of
from services.session import Session, SessionHost
from services.strategy_manager import StrategyManager
from services.strategy_source import StrategyRecipe, default_strategy_id
from services.turn import Letter, Turn
from strategies.base_strategy import BaseStrategy
from tests.control_model import Event, expected_sessions
from tests.state_keeping import state_desk


class Quiet(BaseStrategy):
    """Does nothing, and remembers that it was stopped."""

    name = "quiet"
    stopped = 0

    def on_bar(self, bar: Bar) -> None: ...

    def on_trade(self, trade: Trade) -> None: ...

    def on_stop(self) -> None:
        type(self).stopped += 1


class Broken(Quiet):
    """Cannot start."""

    name = "broken"

    def on_start(self) -> None:
        raise SystemExit("no data")


class Source:
    """Knows `quiet`, `broken` and the default; plays a database that is away when told so."""

    def __init__(self) -> None:
        self.away = False

    def find(self, strategy_id: str, symbol: str) -> StrategyRecipe:
        if self.away:
            raise StorageUnavailable("the database does not answer")
        classes = {"quiet": Quiet, "other": Quiet, "broken": Broken, default_strategy_id(symbol): Quiet}
        if strategy_id not in classes:
            raise StrategyRejected(f"no strategy {strategy_id!r}")
        return StrategyRecipe(classes[strategy_id], {})


class World:
    """A manager with a mailbox that is delivered at once, as an idle data thread would."""

    def __init__(self) -> None:
        self.source = Source()
        self.router = Router()
        host = SessionHost(
            submit=lambda _signal, _received, _barred: None,
            post=self._post,
            unroute=self.router.remove,
            count_error=lambda _: None,
            changed=lambda _: None,
            max_errors=3,
        )
        source: Any = self.source
        self.manager = StrategyManager(source, self.router, host, Turn(), state_desk(self._post))

    def _post(self, session: Session, event: Letter) -> None:
        session.handle(event)

    def apply(self, action: str, symbol: str, strategy: str | None = None, session: str | None = None) -> str:
        event = {
            "action": action,
            "symbol": symbol,
            "type": "stock",
            "strategyId": strategy,
            "sessionId": session,
        }
        return self.manager.apply(ControlEvent.model_validate(event))

    def states(self) -> dict[str, str]:
        return {each["key"]: each["state"] for each in self.manager.sessions()}

    def routed(self, symbol: str) -> list[str]:
        return [session.identity.key for session in sessions_of(self.router.table, symbol)]


@pytest.fixture
def world() -> World:
    return World()


def test_subscribe_with_a_strategy_starts_that_session(world: World) -> None:
    assert world.apply("subscribe", "AAPL", "quiet", "s1") == "started"
    assert world.routed("AAPL") == ["s1"]


def test_without_a_session_id_the_strategy_id_is_the_key(world: World) -> None:
    world.apply("subscribe", "AAPL", "quiet")
    assert world.routed("AAPL") == ["quiet"]


def test_subscribe_to_a_running_key_changes_nothing(world: World) -> None:
    world.apply("subscribe", "AAPL", "quiet", "s1")
    running = sessions_of(world.router.table, "AAPL")
    assert world.apply("subscribe", "AAPL", "quiet", "s1") == "duplicate"
    assert sessions_of(world.router.table, "AAPL") == running


@pytest.mark.parametrize(("symbol", "strategy"), [("MSFT", "quiet"), ("AAPL", "other"), ("MSFT", "other")])
def test_another_session_under_a_key_that_is_taken_is_no_duplicate_and_is_not_started(
    world: World, symbol: str, strategy: str
) -> None:
    world.apply("subscribe", "AAPL", "quiet", "s1")
    assert world.apply("subscribe", symbol, strategy, "s1") == "conflict"
    assert (world.routed("AAPL"), world.routed("MSFT")) == (["s1"], [])


def test_one_strategy_runs_on_two_symbols_without_session_ids(world: World) -> None:
    world.apply("subscribe", "AAPL", "quiet")
    assert world.apply("subscribe", "MSFT", "quiet") == "started"
    assert world.apply("subscribe", "MSFT", "quiet") == "duplicate"
    assert world.states() == {"quiet": "RUNNING", "quiet@MSFT": "RUNNING"}
    assert world.apply("unsubscribe", "MSFT", "quiet") == "stopped"
    assert world.states() == {"quiet": "RUNNING"}


def test_two_sessions_run_the_same_strategy_on_the_same_symbol(world: World) -> None:
    world.apply("subscribe", "AAPL", "quiet", "s1")
    world.apply("subscribe", "AAPL", "quiet", "s2")
    assert world.routed("AAPL") == ["s1", "s2"]


def test_subscribe_without_a_strategy_starts_the_default_one(world: World) -> None:
    world.apply("subscribe", "BTC/USD")
    assert world.states() == {"strat_BTC/USD": "RUNNING"}


def test_unsubscribe_with_a_session_id_stops_that_session_only(world: World) -> None:
    world.apply("subscribe", "AAPL", "quiet", "s1")
    world.apply("subscribe", "AAPL", "quiet", "s2")
    world.apply("unsubscribe", "AAPL", "quiet", "s1")
    assert world.routed("AAPL") == ["s2"]


def test_unsubscribe_with_only_a_strategy_stops_all_its_sessions_on_the_symbol(world: World) -> None:
    for key in ("s1", "s2"):
        world.apply("subscribe", "AAPL", "quiet", key)
    world.apply("subscribe", "AAPL", "other", "s3")
    world.apply("subscribe", "MSFT", "quiet", "s4")
    world.apply("unsubscribe", "AAPL", "quiet")
    assert sorted(world.states()) == ["s3", "s4"]


def test_unsubscribe_with_neither_stops_every_session_on_the_symbol(world: World) -> None:
    for key, strategy in (("s1", "quiet"), ("s2", "other"), (None, None)):
        world.apply("subscribe", "AAPL", strategy, key)
    world.apply("subscribe", "MSFT", "quiet", "s4")
    Quiet.stopped = 0
    world.apply("unsubscribe", "AAPL")
    assert sorted(world.states()) == ["s4"]
    assert Quiet.stopped == 3


def test_unsubscribe_of_nothing_is_no_error(world: World) -> None:
    assert world.apply("unsubscribe", "AAPL", "quiet", "s1") == "nothing_to_stop"


def test_an_unknown_strategy_is_an_error_with_a_reason_that_can_be_tried_again(world: World) -> None:
    assert world.apply("subscribe", "AAPL", "nothing", "s1") == "error"
    assert world.manager.sessions()[0]["reason"] == "no strategy 'nothing'"
    assert world.apply("subscribe", "AAPL", "quiet", "s1") == "started"


def test_a_strategy_that_fails_to_start_is_an_error_even_when_it_exits(world: World) -> None:
    assert world.apply("subscribe", "AAPL", "broken", "s1") == "error"
    assert world.manager.sessions()[0]["reason"] == "SystemExit: no data"
    assert world.routed("AAPL") == []


def test_a_session_whose_source_is_away_is_pending_and_starts_when_it_is_tried_again(world: World) -> None:
    world.source.away = True
    assert world.apply("subscribe", "AAPL", "quiet", "s1") == "pending"
    assert world.states() == {"s1": "PENDING"}
    world.source.away = False
    assert world.manager.adopt(world.manager.records()["s1"].identity) == "started"
    assert world.routed("AAPL") == ["s1"]


def test_a_waiting_session_is_not_started_by_an_event_without_its_state(world: World) -> None:
    world.source.away = True
    world.apply("subscribe", "AAPL", "quiet", "s1")
    world.source.away = False
    assert world.apply("subscribe", "AAPL", "quiet", "s1") == "pending"
    assert world.states() == {"s1": "PENDING"}


def test_a_strategy_on_a_second_symbol_keeps_its_key_when_the_first_one_stops(world: World) -> None:
    world.apply("subscribe", "AAPL", "quiet")
    world.apply("subscribe", "MSFT", "quiet")
    world.apply("unsubscribe", "AAPL", "quiet")
    assert world.apply("subscribe", "MSFT", "quiet") == "duplicate"
    assert world.routed("MSFT") == ["quiet@MSFT"]


def test_a_waiting_session_can_be_stopped(world: World) -> None:
    world.source.away = True
    world.apply("subscribe", "AAPL", "quiet", "s1")
    world.apply("unsubscribe", "AAPL", None, "s1")
    assert world.states() == {}


def test_an_adopted_session_keeps_its_start_so_that_its_signals_keep_their_ids(world: World) -> None:
    world.apply("subscribe", "AAPL", "quiet", "s1")
    [identity] = [record.identity for record in world.manager.records().values()]
    after_a_restart = World()
    after_a_restart.manager.adopt(identity)
    assert after_a_restart.manager.records()["s1"].identity == identity


def test_a_halt_that_comes_before_its_session_is_kept_for_it(world: World) -> None:
    world.manager.halt_session("s1", "outcome unknown")
    world.apply("subscribe", "AAPL", "quiet", "s1")
    world.apply("subscribe", "AAPL", "quiet", "s2")
    assert world.states() == {"s1": "HALTED", "s2": "RUNNING"}
    assert world.routed("AAPL") == ["s2"]


def test_a_halted_session_hears_no_market_data_and_is_not_started_over(world: World) -> None:
    world.apply("subscribe", "AAPL", "quiet", "s1")
    world.manager.halt_session("s1", "outcome unknown")
    assert world.routed("AAPL") == []
    assert world.apply("subscribe", "AAPL", "quiet", "s1") == "duplicate"
    assert world.states() == {"s1": "HALTED"}


def resume(world: World, key: str) -> str:
    """Do what a person's order to the control thread does."""
    world.manager.halts.lift(key)
    return world.manager.adopt(world.manager.records()[key].identity)


def test_a_halted_session_that_is_stopped_and_started_again_is_still_halted(world: World) -> None:
    world.apply("subscribe", "AAPL", "quiet", "s1")
    world.manager.halt_session("s1", "outcome unknown")
    world.apply("unsubscribe", "AAPL", None, "s1")
    assert world.states() == {}
    assert world.apply("subscribe", "AAPL", "quiet", "s1") == "halted"
    [described] = world.manager.sessions()
    assert (described["state"], described["reason"]) == ("HALTED", "outcome unknown")
    assert world.routed("AAPL") == []


def test_a_halted_session_is_not_even_built_until_it_is_resumed(world: World) -> None:
    world.manager.halt_session("s1", "outcome unknown")
    assert world.apply("subscribe", "AAPL", "broken", "s1") == "halted"
    assert resume(world, "s1") == "error"


def test_a_resumed_session_runs_and_stays_so_when_it_is_started_again(world: World) -> None:
    world.apply("subscribe", "AAPL", "quiet", "s1")
    world.manager.halt_session("s1", "outcome unknown")
    assert resume(world, "s1") == "started"
    world.apply("unsubscribe", "AAPL", None, "s1")
    assert world.apply("subscribe", "AAPL", "quiet", "s1") == "started"
    assert world.routed("AAPL") == ["s1"]


def test_an_outcome_that_becomes_unknown_after_a_stop_halts_the_next_session_of_that_key(
    world: World,
) -> None:
    world.apply("subscribe", "AAPL", "quiet", "s1")
    world.apply("unsubscribe", "AAPL", None, "s1")
    world.manager.halt_session("s1", "outcome unknown")
    assert world.apply("subscribe", "AAPL", "quiet", "s1") == "halted"


@pytest.mark.parametrize("state", ["pending", "error"])
def test_a_session_that_does_not_run_is_halted_too(world: World, state: str) -> None:
    world.source.away = state == "pending"
    assert world.apply("subscribe", "AAPL", "broken", "s1") == state
    world.manager.halt_session("s1", "outcome unknown")
    assert world.states() == {"s1": "HALTED"}
    assert world.apply("subscribe", "AAPL", "broken", "s1") == "duplicate"


def test_what_the_table_tells_of_unknown_outcomes_holds_for_sessions_that_an_event_starts(
    world: World,
) -> None:
    assert world.manager.halts.found({"s1": "signal x"}) == {"s1": "signal x"}
    assert world.apply("subscribe", "AAPL", "quiet", "s1") == "halted"
    assert resume(world, "s1") == "started"
    assert world.manager.halts.found({"s1": "signal x"}) == {}  # a person has looked at it
    assert world.manager.halts.found({}) == {}  # and resolved it
    assert world.manager.halts.found({"s1": "signal y"}) == {"s1": "signal y"}


def test_a_session_that_is_held_takes_the_place_of_one_that_waits_and_of_no_other(world: World) -> None:
    world.source.away = True
    world.apply("subscribe", "AAPL", "quiet", "s1")
    world.source.away = False
    world.apply("subscribe", "AAPL", "quiet", "s2")
    for record in world.manager.records().values():
        halted = SessionRecord(identity=record.identity, state=SessionState.HALTED, reason="signal x")
        world.manager.hold(halted)
    assert world.states() == {"s1": "HALTED", "s2": "RUNNING"}
    world.apply("unsubscribe", "AAPL", None, "s1")
    assert world.apply("subscribe", "AAPL", "quiet", "s1") == "halted"


EVENTS = st.tuples(
    st.sampled_from(["subscribe", "unsubscribe"]),
    st.sampled_from(["AAPL", "MSFT", "BTC/USD"]),
    st.sampled_from([None, "quiet", "other"]),
    st.sampled_from([None, "s1", "s2", "s3"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, max_size=60))
def test_any_storm_of_events_ends_in_the_state_that_they_imply(
    events: list[Event],
) -> None:
    world = World()
    for event in events:
        world.apply(*event)
    held = {(each["symbol"], each["strategyId"], each["sessionId"]) for each in world.manager.sessions()}
    assert held == expected_sessions(events)
    routed = {key for symbol in ("AAPL", "MSFT", "BTC/USD") for key in world.routed(symbol)}
    assert routed == set(world.states())
