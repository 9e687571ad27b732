"""What a session finds again after a restart: its state where the code is the same, its position always."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from models.errors import StorageUnavailable, StrategyRejected
from models.session import Lifecycle, SessionState
from services.state_desk import StateDesk
from services.state_history import UnansweredSignals
from services.state_keeper import StateKeeper
from tests.sample_states import saved
from tests.state_keeping import MemoryStates
from tests.unit.state_world import NOON, Counting, World, identity, minutes


class Buying(Counting):
    """Buys on the first bar."""

    buys_at = (0,)


class LastWords(Counting):
    """Buys when it is stopped."""

    def on_stop(self) -> None:
        self.send_signal("BUY", 100.0, 1.0)


class Refusing(Counting):
    """Does not take its state back."""

    refusal: BaseException = ValueError("too old")

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        raise type(self).refusal


class Scripted(Counting):
    """Returns from `get_state` what it is told, or raises it."""

    state: Any = None

    def get_state(self) -> Any:
        if isinstance(type(self).state, BaseException):
            raise type(self).state
        return type(self).state


def test_state_and_position_are_in_place_before_on_start() -> None:
    world = World(Buying)
    world.start()
    world.bar(0)
    world.answer(world.sent[0], price=101.0)
    world.save()
    strategy = world.restarted().strategy_of()
    seen, position = strategy.before_start
    assert seen == minutes(0)
    assert (position.quantity, position.average_price, position.expected) == (2.0, 101.0, 2.0)


def test_a_session_tells_whether_its_state_came_back() -> None:
    world = World()
    world.start()
    assert (world.described()["stateRestored"], world.described()["stateReason"]) == (
        False,
        "nothing was saved",
    )
    world.bar(0)
    world.save()
    described = world.restarted().described()
    assert (described["stateRestored"], described["stateReason"]) == (True, None)


def restored_over(world: World, **changed: Any) -> World:
    """The next process, where something else was saved."""
    world.store.held["s1"] = replace(world.store.held["s1"], **changed)
    return world.restarted()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"source_hash": "f" * 64}, "the source of the strategy changed"),
        ({"source_hash": "unknown"}, "cannot be read"),
        ({"class_name": "Other"}, "saved by Other"),
        ({"strategy_id": "other"}, "as other"),
        ({"state": None}, "nothing was saved"),
    ],
)
def test_state_of_other_code_is_not_given_back_but_the_position_is(
    changed: dict[str, Any], said: str
) -> None:
    world = World(Buying)
    world.start()
    world.bar(0)
    world.answer(world.sent[0])
    world.save()
    world = restored_over(world, **changed)
    assert world.strategy_of().seen == []
    assert said in world.described()["stateReason"]
    assert world.strategy_of().position.quantity == 2.0


def test_nothing_comes_back_from_another_symbol_under_the_same_key() -> None:
    world = World(Buying)
    world.start("s1", "AAPL")
    world.bar(0)
    world.answer(world.sent[0])
    world.manager.stop_session("s1")
    strategy = world.start("s1", "MSFT")
    assert (strategy.seen, strategy.position.quantity) == ([], 0.0)
    assert "of AAPL" in world.described()["stateReason"]


@pytest.mark.parametrize("refusal", [ValueError("too old"), SystemExit(3), StrategyRejected("no")])
def test_a_strategy_that_refuses_its_state_is_made_anew(refusal: BaseException) -> None:
    Refusing.refusal = refusal
    world = World(Refusing)
    world.start()
    world.bar(0)
    world.save()
    world = world.restarted()
    assert world.strategy_of().seen == []
    assert world.described()["state"] == "RUNNING"
    assert world.described()["stateReason"].startswith("set_state raised")


@pytest.mark.parametrize(
    "state", [None, [], {"x": float("nan")}, {"x": "y" * 70_000}, {1: 2}, ValueError("no"), SystemExit(1)]
)
def test_a_wrong_state_is_an_error_of_the_strategy_and_the_last_good_one_stays(state: Any) -> None:
    world = World(Scripted)
    Scripted.state = {"seen": ["good"]}
    world.start()
    world.save()
    Scripted.state = state
    for minute in range(5):
        world.bar(minute)
        world.save()
    assert world.store.held["s1"].state == '{"seen":["good"]}'
    assert world.errors == ["scripted"] * 5
    assert world.session().state is SessionState.RUNNING
    world.bar(5)
    assert world.session().bars == 6


def test_a_position_is_saved_even_where_the_state_is_wrong() -> None:
    world = World(Scripted)
    Scripted.state, Scripted.buys_at = None, (0,)
    try:
        world.start()
        world.bar(0)
        world.answer(world.sent[0])
        world.save()
    finally:
        Scripted.buys_at = ()
    assert world.store.held["s1"].position.quantity == 2.0


def test_get_state_can_send_no_signal() -> None:
    class Sneaky(Counting):
        def get_state(self) -> dict[str, Any]:
            self.send_signal("BUY", 1.0, 1.0)
            return {}

    world = World(Sneaky)
    world.start()
    world.states._ask(1.0)  # noqa: SLF001 — a round of the keeper
    assert world.sent == []
    assert world.errors == ["sneaky"]


def test_what_did_not_change_is_not_written_again() -> None:
    world = World()
    world.start()
    world.bar(0)
    for _ in range(3):
        world.save()
    assert world.store.batches == [["s1"]]
    world.bar(1)
    world.save()
    assert len(world.store.batches) == 2


def test_what_does_not_change_is_written_once_a_day_all_the_same() -> None:
    world = World()
    world.start()
    world.bar(0)
    world.save()
    world = restored_over(world, saved_at=datetime.now(UTC) - timedelta(days=1, hours=1))
    world.save()
    assert datetime.now(UTC) - world.store.held["s1"].saved_at < timedelta(hours=1)
    world = restored_over(world, saved_at=datetime.now(UTC) - timedelta(hours=23))
    world.save()
    assert datetime.now(UTC) - world.store.held["s1"].saved_at > timedelta(hours=22)


def test_on_stop_comes_before_the_last_save() -> None:
    class Stopping(Counting):
        def on_stop(self) -> None:
            self.seen.append("stopped")

    world = World(Stopping)
    world.start()
    world.manager.stop_sessions()
    world.write()
    assert world.store.held["s1"].state == '{"seen":["stopped"]}'


def test_a_session_stopped_and_started_again_goes_on_where_it_stood_though_nothing_is_written_yet() -> None:
    world = World()
    world.start()
    world.bar(0)
    world.manager.stop_session("s1")
    assert world.store.held == {}
    assert world.start().before_start[0] == minutes(0)


def test_an_answer_that_comes_after_on_stop_is_still_in_the_saved_position() -> None:
    world = World(LastWords)
    strategy = world.start()
    world.manager.stop_sessions()
    world.answer(world.sent[0])
    world.write()
    position = world.store.held["s1"].position
    assert (position.quantity, position.unanswered) == (1.0, 0)
    assert strategy.answers == []


def test_an_answer_to_the_session_before_is_booked_by_the_one_that_took_its_place() -> None:
    world = World(LastWords)
    world.start()
    world.manager.stop_sessions()
    strategy = world.start()
    assert (strategy.position.quantity, strategy.position.expected) == (0.0, 1.0)
    world.answer(world.sent[0])
    assert (strategy.position.quantity, strategy.position.expected) == (1.0, 1.0)
    assert len(strategy.answers) == 1


def test_an_answer_that_comes_before_its_session_waits_for_it() -> None:
    before = World(Buying)
    before.start()
    before.bar(0)
    before.save()
    world = World(Buying, before.store)
    world.sent = list(before.sent)  # what a durable outbox would send again
    report = world.answer(world.sent[0])
    world.manager.adopt(before.manager.records()["s1"].identity)
    assert world.strategy_of().position.quantity == 2.0
    assert world.strategy_of().position.unanswered == 0
    world.manager.report("s1", report)
    assert world.strategy_of().position.quantity == 2.0


def test_a_session_that_was_given_up_keeps_its_last_good_state_but_not_its_old_position() -> None:
    class Breaking(Counting):
        buys_at = (1,)

        def on_bar(self, bar: Any) -> None:
            super().on_bar(bar)
            if len(self.seen) > 2:
                raise ValueError(bar)

    world = World(Breaking)
    world.start()
    world.bar(0)
    world.save()
    for minute in range(1, 6):
        world.bar(minute)
    assert world.session().state is SessionState.ERROR
    world.answer(world.sent[0])
    world.save()
    assert world.store.held["s1"].state == '{"seen":["1m 0"]}'
    assert world.store.held["s1"].position.quantity == 2.0


def test_a_halted_session_is_saved_when_it_is_stopped() -> None:
    world = World(Buying)
    world.start()
    world.bar(0)
    world.save()
    world.manager.halt_session("s1", "outcome unknown")
    world.answer(world.sent[0])
    world.manager.stop_session("s1")
    world.write()
    assert world.store.held["s1"].position.quantity == 2.0
    assert world.store.held["s1"].state == '{"seen":["1m 0"]}'


def test_with_a_complete_history_no_session_starts_without_knowing_its_past() -> None:
    class Complete(UnansweredSignals):
        is_complete = True

    store = MemoryStates()
    store.away = True
    desk = StateDesk(StateKeeper(store, 30.0), Complete(list), lambda _session, _letter: None)
    for known in (True, False):
        with pytest.raises(StorageUnavailable):
            desk.recollect(identity("s1"), known=known)


def test_without_one_a_known_session_waits_for_the_store_and_a_new_one_starts_fresh() -> None:
    world = World(store=MemoryStates())
    world.store.away = True
    assert world.manager.adopt(identity("s1")) == "pending"
    assert "away" in world.described("s1")["reason"]
    assert world.manager.start_session("AAPL", "counting", "s2") == "started"
    assert "away" in world.described("s2")["stateReason"]


def test_a_clock_that_was_set_back_does_not_make_new_states_old() -> None:
    world = World()
    world.start()
    world.bar(0)
    world.save()
    future = NOON.replace(year=2100)
    world = restored_over(world, saved_at=future)
    world.bar(1)
    world.save()
    assert world.store.held["s1"].saved_at > future
    assert "1m 1" in str(world.store.held["s1"].state)


def test_a_saved_state_that_cannot_be_used_is_no_reason_not_to_start() -> None:
    world = World()
    world.store.held["s1"] = saved(state="[1]", class_name="Counting")
    assert world.manager.adopt(identity("s1")) == "started"
    assert not world.described("s1")["stateRestored"]


def test_a_stop_that_is_asked_for_twice_saves_the_same() -> None:
    world = World()
    world.start()
    session = world.session()
    world.manager.stop_sessions()
    session.handle(Lifecycle("stop", NOON))
    world.states.save(session)
    world.write()
    assert world.store.batches == [["s1"]]
