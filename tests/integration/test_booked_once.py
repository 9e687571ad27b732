"""Every fill is in the position once, whatever is saved, answered, repeated, lost and killed when."""

from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from models.position import Position
from services.db_client import Database
from services.signals.signal_records import Finding, SignalRecords
from tests.integration.durable_outbox import execute
from tests.integration.lives import Life

MINUTES = 12


class LivesMachine(RuleBasedStateMachine):
    """Decisions, answers, saves and ends in any order; `url` is set by the test."""

    url = ""

    @initialize()
    def begin(self) -> None:
        execute(self.url, "TRUNCATE signals, strategy_states")
        self.executed: dict[str, float] = {}
        self.minute = 0
        self.answered: list[str] = []
        self.life = Life(self.url, self.executed)

    @precondition(lambda self: self.minute < MINUTES)
    @rule()
    def decide(self) -> None:
        self.life.bar(self.minute)
        self.life.carry()
        self.minute += 1

    @precondition(lambda self: self.minute)
    @rule(data=st.data())
    def decide_again(self, data: Any) -> None:
        """A bar comes a second time, as from a feed that replays; in the same life it may count on."""
        self.life.bar(data.draw(st.integers(0, self.minute - 1)))
        self.life.carry()

    @precondition(lambda self: self.life.on_their_way)
    @rule(data=st.data())
    def answer(self, data: Any) -> None:
        number = data.draw(st.integers(0, len(self.life.on_their_way) - 1))
        self.answered.append(self.life.answer(number))

    @rule()
    def save(self) -> None:
        self.life.save()

    @rule(loses_marks=st.booleans())
    def crash(self, loses_marks: bool) -> None:  # noqa: FBT001 — drawn
        """Killed, perhaps before the answers of this life were marked; the next process goes on."""
        self.life.end(*(self.answered if loses_marks else ()))
        self.answered = []
        self.life = Life(self.url, self.executed)
        self.life.carry()

    @invariant()
    def what_was_answered_is_booked_once(self) -> None:
        if hasattr(self, "life"):
            told = self.life.position.quantity
            open_signals = {entry.signal.signal_id for entry in self.life.on_their_way}
            certain = {each for each in self.executed if each not in open_signals}
            assert told >= sum(self.executed[each] for each in certain)
            assert told <= sum(self.executed.values())

    def teardown(self) -> None:
        if not hasattr(self, "life"):
            return
        while self.life.on_their_way:
            self.life.answer(0)
        position = self.life.position
        assert position.quantity == sum(self.executed.values())
        assert (position.expected, position.unanswered) == (position.quantity, 0)
        self.life.end()


def test_every_fill_is_booked_once_whatever_happens(database_url: str) -> None:
    class Here(LivesMachine):
        url = database_url

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


SAVED = ["never", "before the answer", "after the answer"]
MARKED = ["kept", "lost", "not answered"]
REPEATED = ["never", "at once", "after the answer"]


def test_a_decision_made_before_a_restart_and_again_is_booked_once(database_url: str) -> None:
    for saved, marked, repeated in product(SAVED, MARKED, REPEATED):
        execute(database_url, "TRUNCATE signals, strategy_states")
        position = after_a_restart(database_url, saved, marked, repeated)
        told = (position.quantity, position.expected, position.unanswered)
        assert told == (8.0, 8.0, 0), f"saved {saved}, mark {marked}, repeated {repeated}"


def after_a_restart(url: str, saved: str, marked: str, repeated: str) -> Position:
    executed: dict[str, float] = {}
    life = Life(url, executed)
    life.bar(3)
    life.carry()
    if saved == "before the answer":
        life.save()
    answered = [] if marked == "not answered" else [life.answer(0)]
    if saved == "after the answer":
        life.save()
    life.end(*(answered if marked == "lost" else ()))

    life = Life(url, executed)
    if repeated == "at once":
        life.bar(3)
    life.carry()
    while life.on_their_way:
        life.answer(0)
    if repeated == "after the answer":
        life.bar(3)
        life.carry()
    life.end()
    return life.position


def test_a_decision_made_again_is_heard_of_and_counted_as_told_before(database_url: str) -> None:
    executed: dict[str, float] = {}
    life = Life(database_url, executed)
    life.bar(3)
    life.carry()
    life.answer(0)
    life.end()
    life = Life(database_url, executed)
    life.bar(3)
    life.carry()
    life.end()
    [report] = life.answers
    assert (report.status, report.filled_quantity, report.told_before) == ("filled", 8.0, True)
    assert life.session.outcomes == {"told_before": 1}


@pytest.mark.parametrize("finding", ["executed", "rejected"])
def test_what_a_person_found_out_is_booked_once_at_the_next_start(
    database_url: str, finding: Finding
) -> None:
    life = Life(database_url, {})
    life.bar(3)
    life.carry()
    signal_id = life.lose_the_answer()
    assert (life.position.quantity, life.position.expected) == (0.0, 0.0)
    for _ in range(2):  # also over a restart that comes before the person
        life.save()
        life.end()
        life = Life(database_url, {})
    SignalRecords(Database(database_url, size=1)).resolve(signal_id, finding, "alice", "asked the broker")
    for _ in range(2):
        life.end()
        life = Life(database_url, {})
        assert life.position.quantity == (8.0 if finding == "executed" else 0.0)
        life.save()
    life.bar(3)  # and the same decision is told what was found
    life.carry()
    life.end()
    assert [(report.executed, report.told_before) for report in life.answers] == [
        (finding == "executed", True)
    ]
    assert life.position.quantity == (8.0 if finding == "executed" else 0.0)


def test_while_nobody_knows_what_became_of_an_order_the_same_decision_sends_no_other(
    database_url: str,
) -> None:
    life = Life(database_url, {})
    life.bar(3)
    life.carry()
    life.lose_the_answer()
    for _ in range(2):
        life.bar(4)
        life.bar(3)
        life.carry()
        assert [entry.signal.quantity for entry in life.on_their_way] == [16.0]
        life.save()
        life.end()
        life = Life(database_url, {})
    life.end()
