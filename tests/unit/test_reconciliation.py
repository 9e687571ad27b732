"""What a worker starts and stops to be where the table and the registry say."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.session import SessionIdentity, SessionRecord, SessionState
from services.reconciliation import plan
from services.session_table import SessionRows

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)


def identity(key: str) -> SessionIdentity:
    return SessionIdentity(
        key=key, symbol="AAPL", asset_type="stock", strategy_id="mock", session_id=key, started_at=NOON
    )


def records(state: SessionState, *keys: str) -> dict[str, SessionRecord]:
    return {key: SessionRecord(identity=identity(key), state=state, reason="because") for key in keys}


def running(*keys: str) -> dict[str, SessionRecord]:
    return records(SessionState.RUNNING, *keys)


def rows(*keys: str, ended: tuple[str, ...] = (), unknown: tuple[str, ...] = ()) -> SessionRows:
    return SessionRows(tuple(map(identity, keys)), frozenset(ended), dict.fromkeys(unknown, "signal x"))


def started(
    held: dict[str, SessionRecord], registered: dict[str, SessionRecord], table: SessionRows
) -> set[str]:
    return {each.key for each in plan(held, registered, table).start}


def test_a_session_of_the_table_is_started_whether_or_not_its_event_was_heard() -> None:
    assert started({}, {}, rows("s1")) == {"s1"}


def test_a_session_without_a_row_is_started_again_from_the_registry() -> None:
    assert started({}, running("s1"), rows()) == {"s1"}


def test_what_runs_already_is_left_alone() -> None:
    assert plan(running("s1"), running("s1"), rows("s1")) == plan({}, {}, rows())


def test_a_session_that_ended_while_nobody_listened_is_stopped() -> None:
    assert plan(running("s1"), running("s1"), rows(ended=("s1",))).stop == ("s1",)


def test_a_session_that_ended_while_the_worker_was_down_is_not_started_but_forgotten() -> None:
    chosen = plan({}, running("s1"), rows(ended=("s1",)))
    assert (chosen.start, chosen.forget) == ((), ("s1",))


def test_while_the_table_cannot_be_asked_known_sessions_wait_and_running_ones_go_on() -> None:
    chosen = plan(running("s1"), running("s1", "s2"), None)
    assert (chosen.start, chosen.stop) == ((), ())
    assert [(each.identity.key, each.state) for each in chosen.hold] == [("s2", SessionState.PENDING)]


def test_a_waiting_session_is_started_once_the_table_answers() -> None:
    waiting = records(SessionState.PENDING, "s1")
    assert started(waiting, waiting, rows("s1")) == {"s1"}
    assert started(waiting, {}, rows()) == {"s1"}


@pytest.mark.parametrize("state", [SessionState.HALTED, SessionState.QUARANTINED])
def test_what_waits_for_a_person_waits_over_a_restart_with_its_reason(state: SessionState) -> None:
    halted = records(state, "s1")
    chosen = plan({}, halted, rows("s1"))
    assert chosen.start == ()
    assert chosen.hold == (halted["s1"],)


@pytest.mark.parametrize("known", [{}, running("s1"), records(SessionState.PENDING, "s1")])
def test_a_session_with_an_order_of_unknown_outcome_is_halted_wherever_it_is_known_from(
    known: dict[str, SessionRecord],
) -> None:
    chosen = plan({}, known, rows("s1", "s2", unknown=("s1",)))
    assert [(each.identity.key, each.state, each.reason) for each in chosen.hold] == [
        ("s1", SessionState.HALTED, "signal x")
    ]
    assert [each.key for each in chosen.start] == ["s2"]


@pytest.mark.parametrize("registered", [{}, records(SessionState.PENDING, "s1")])
def test_a_waiting_session_is_halted_when_the_table_tells_of_such_an_order(
    registered: dict[str, SessionRecord],
) -> None:
    chosen = plan(records(SessionState.PENDING, "s1"), registered, rows(unknown=("s1",)))
    assert [each.state for each in chosen.hold] == [SessionState.HALTED]
    assert chosen.start == ()


def test_a_session_that_runs_is_not_halted_by_what_is_written_of_it() -> None:
    assert plan(running("s1"), running("s1"), rows("s1", unknown=("s1",))) == plan({}, {}, rows())


def test_a_session_that_ended_is_not_held_for_its_order_of_unknown_outcome() -> None:
    chosen = plan({}, running("s1"), rows(ended=("s1",), unknown=("s1",)))
    assert (chosen.start, chosen.hold, chosen.forget) == ((), (), ("s1",))


def test_a_session_in_error_gets_another_chance_at_the_next_start_only() -> None:
    failed = records(SessionState.ERROR, "s1")
    assert started({}, failed, rows("s1")) == {"s1"}
    assert started(failed, failed, rows("s1")) == set()


KEYS = st.sets(st.sampled_from(["s1", "s2", "s3", "s4", "s5"]))


@given(held=KEYS, registered=KEYS, wanted=KEYS, ended=KEYS)
def test_carrying_out_a_plan_leaves_nothing_to_plan(
    held: set[str], registered: set[str], wanted: set[str], ended: set[str]
) -> None:
    table = rows(*wanted, ended=tuple(ended - wanted))
    chosen = plan(running(*held), running(*registered), table)
    then = (held | {each.key for each in chosen.start}) - set(chosen.stop)
    assert then >= wanted
    assert not then & table.ended
    assert plan(running(*then), running(*then), table) == plan({}, {}, rows())
