"""Rows and leases: a row goes with its session, and who lost the session says nothing about it any more."""

import math

import pytest
from msgspec.structs import replace

from models.lease import Standing
from models.signal import Signal
from services.db_client import Database
from services.leases.holdings import Holdings
from services.signals.outcome import failed
from services.state_history import Past, RecordedSignals
from tests.integration.durable_outbox import Crashable, filled, rows, running_outbox, statuses
from tests.sample_signals import make_signal
from tests.support import eventually

FIRST, SECOND = 7, 9
SESSION = "session-1"
FAR = math.inf


def holding(number: int | None) -> Holdings:
    """The leases of a worker that holds the session under this number, or does not hold it."""
    holdings = Holdings()
    if number is not None:
        holdings.hold(SESSION, number, number, FAR)
    return holdings


def left_by_a_killed_worker(url: str, *signals: Signal) -> None:
    made = Crashable(url, fence=holding(FIRST))
    made.outbox.start()
    made.put(*signals)
    made.taken(len(signals))
    made.stop()


def take_over(url: str, number: int) -> None:
    """Read what the session sent, as its start in the worker that took it over does."""
    database = Database(url, size=1)
    asked = Past(session_key=SESSION, symbol="AAPL", fence=number)
    assert len(RecordedSignals(database, lambda: ()).since(asked)) == 1
    database.close()


def fences(url: str) -> list[int]:
    return [row["fence"] for row in rows(url)]


def test_a_row_tells_the_number_under_which_it_was_decided(database_url: str) -> None:
    with running_outbox(database_url, fence=holding(FIRST)) as made:
        made.put(make_signal())
        made.taken(1)
    assert fences(database_url) == [FIRST]


def test_what_a_killed_worker_left_goes_to_the_one_that_holds_the_session(database_url: str) -> None:
    left_by_a_killed_worker(database_url, signal := make_signal())
    with (
        running_outbox(database_url, fence=(other := Holdings())) as without,
        running_outbox(database_url, fence=holding(SECOND)) as made,
    ):
        [entry] = made.taken(1)
        assert (entry.signal, entry.fence) == (signal, SECOND)
        assert entry.ask_until is not None
        made.finish(entry)
        assert without.outbox.take() == []
        assert other.wanted <= {SESSION}
    assert (statuses(database_url), fences(database_url)) == (["executed"], [SECOND])


def test_what_nobody_holds_is_asked_for_and_taken_over_once_it_is_given(database_url: str) -> None:
    left_by_a_killed_worker(database_url, make_signal())
    holdings = Holdings()
    with running_outbox(database_url, fence=holdings) as made:
        eventually(lambda: holdings.wanted == {SESSION})
        assert made.outbox.take() == []
        holdings.hold(SESSION, SECOND, SECOND, FAR)
        made.taken(1)


def test_a_worker_whose_lease_is_uncertain_takes_nothing_over(database_url: str) -> None:
    left_by_a_killed_worker(database_url, make_signal())
    holdings = Holdings()
    holdings.hold(SESSION, SECOND, SECOND, -FAR)
    with running_outbox(database_url, fence=holdings) as made:
        made.put(own := make_signal("session-2"))
        assert [entry.signal for entry in made.taken(1)] == [own]  # it has looked
        made.outbox.wait(0.3)
        assert made.outbox.take() == []
        holdings.hold(SESSION, SECOND, SECOND, FAR)
        holdings.note_change()
        made.taken(1)


def test_the_start_of_the_session_elsewhere_takes_its_rows_from_a_frozen_worker(database_url: str) -> None:
    with (
        running_outbox(database_url, fence=holding(FIRST)) as frozen,
        running_outbox(database_url, fence=(successor := holding(SECOND))) as made,
    ):
        frozen.put(signal := make_signal())
        [entry] = frozen.taken(1)
        take_over(database_url, SECOND)
        successor.note_change()
        [found] = made.taken(1)
        assert (found.signal, found.fence) == (signal, SECOND)
        refused = failed(signal, "refused", Standing.LOST, 0, 0.0)
        frozen.outbox.finish(entry, refused)
        made.finish(found)
    assert statuses(database_url) == ["executed"]


def test_what_the_former_worker_knows_counts_until_its_successor_starts(database_url: str) -> None:
    with running_outbox(database_url, fence=holding(FIRST)) as former:
        former.put(make_signal())
        [entry] = former.taken(1)
        former.finish(entry)
        eventually(lambda: statuses(database_url) == ["executed"])
        take_over(database_url, SECOND)
    assert (statuses(database_url), fences(database_url)) == (["executed"], [FIRST])


def test_of_one_decision_by_both_the_later_holder_delivers_the_only_row(database_url: str) -> None:
    signal = make_signal()
    with (
        running_outbox(database_url, fence=holding(FIRST)) as former,
        running_outbox(database_url, fence=holding(SECOND)) as made,
    ):
        former.put(signal)
        [stale] = former.taken(1)
        made.put(signal)
        [entry] = made.taken(1)
        assert (entry.signal, entry.settled, entry.fence) == (signal, None, SECOND)
        former.outbox.finish(stale, failed(signal, "refused", Standing.LOST, 0, 0.0))
        made.finish(entry)
    assert (statuses(database_url), fences(database_url)) == (["executed"], [SECOND])


def test_a_decision_that_the_later_holder_has_made_is_refused_to_the_former(database_url: str) -> None:
    signal = make_signal()
    with (
        running_outbox(database_url, fence=holding(FIRST)) as former,
        running_outbox(database_url, fence=holding(SECOND)) as made,
    ):
        made.put(signal)
        made.taken(1)
        former.put(signal)
        [entry] = former.taken(1)
        assert entry.settled is not None
        assert entry.settled.report.reason == "duplicate_signal"


def test_what_may_have_been_sent_is_left_to_whoever_holds_the_session(database_url: str) -> None:
    with running_outbox(database_url, fence=holding(FIRST)) as former:
        former.put(signal := make_signal())
        [entry] = former.taken(1)
        former.outbox.sending(entry, 1)
        unknown = replace(failed(signal, "unknown", Standing.LOST, 1, 0.0), is_left=True)
        former.outbox.finish(entry, unknown)
        eventually(lambda: [row["worker"] for row in rows(database_url)] == [0])
        assert former.outbox.pending == 0
        with running_outbox(database_url, fence=holding(SECOND)) as made:
            [found] = made.taken(1)
            assert (found.signal, found.attempts) == (signal, 1)
            made.finish(found)
    assert statuses(database_url) == ["executed"]


@pytest.mark.parametrize("changed", ["executed", "expired"])
def test_a_former_holder_marks_nothing_of_what_was_taken_from_it(database_url: str, changed: str) -> None:
    with running_outbox(database_url, fence=holding(FIRST)) as former:
        former.put(signal := make_signal())
        [entry] = former.taken(1)
        take_over(database_url, SECOND)
        outcome = filled(signal) if changed == "executed" else failed(signal, "expired", "late", 0, 0.0)
        former.outbox.finish(entry, outcome)
    assert statuses(database_url) == ["pending"]
