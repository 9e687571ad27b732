"""The durable outbox against a real PostgreSQL: a row first, then the entry, and its end soon after."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg2
import pytest
from msgspec.structs import replace

from models.signal import SignalStatus
from services.db_client import Database, migrate
from services.signals.marks import Marks
from services.signals.outcome import failed
from services.signals.signal_table import SignalTable
from services.signals.wire import encode
from tests.integration.durable_outbox import (
    Crashable,
    crash,
    execute,
    filled,
    open_connection,
    rows,
    running_outbox,
    statuses,
)
from tests.sample_signals import make_signal
from tests.support import eventually


def test_an_entry_can_be_taken_only_when_its_row_is_there(database_url: str) -> None:
    with running_outbox(database_url) as made, open_connection(database_url) as connection:
        cursor = connection.cursor()
        cursor.execute("BEGIN; LOCK TABLE signals")
        signal = make_signal()
        assert made.put(signal) == [None]
        made.outbox.wait(0.3)
        assert (made.outbox.take(), made.outbox.pending) == ([], 1)
        cursor.execute("COMMIT")
        [entry] = made.taken(1)
        assert entry.signal is signal
        [row] = rows(database_url)
        assert (row["signal_id"], row["status"], row["attempts"]) == (signal.signal_id, "pending", 0)


def test_a_row_holds_the_signal_to_the_last_digit(database_url: str) -> None:
    signal = make_signal(
        price=0.1 + 0.2, quantity=1e-12, confidence=0.25, metadata={"z": 1.0, "a": [1e-7, "é\\u0000"]}
    )
    with running_outbox(database_url) as made:
        made.put(signal)
        made.taken(1)
    [row] = rows(database_url)
    assert row["price"] == Decimal("0.30000000000000004")
    assert row["quantity"] == Decimal("1e-12")
    assert row["metadata"] == signal.metadata
    assert (row["session_key"], row["session_id"], row["strategy_id"]) == ("session-1", "session-1", "mock")
    assert (row["symbol"], row["action"], row["confidence"]) == ("AAPL", "BUY", 0.25)
    assert abs(row["created_at"] - datetime.now(UTC)) < timedelta(seconds=30)


def test_sending_and_the_end_are_written_soon(database_url: str) -> None:
    with running_outbox(database_url) as made:
        made.put(make_signal(), make_signal())
        first, second = made.taken(2)
        made.outbox.sending(first, 1)
        eventually(lambda: statuses(database_url) == ["sending", "pending"])
        made.outbox.sending(first, 2)
        made.finish(first)
        made.outbox.finish(second, failed(second.signal, "rejected", "no \x00 funds", 1, 0.0))
        eventually(lambda: statuses(database_url) == ["executed", "rejected"])
        sent, never_sent = rows(database_url)
        assert sent["sent_at"] <= sent["finished_at"]
        assert sent["report"]["order_id"] == "o-1"
        assert (never_sent["sent_at"], never_sent["reason"]) == (None, "no \ufffd funds")
        assert made.outbox.pending == 0


def test_stopping_writes_what_is_not_written_yet(database_url: str) -> None:
    with running_outbox(database_url) as made:
        made.put(*(make_signal() for _ in range(50)))
        taken = made.taken(50)
        made.finish(*taken[:20])
        made.put(*(make_signal() for _ in range(700)))
    assert statuses(database_url) == ["executed"] * 20 + ["pending"] * 730


def test_stopping_names_what_has_no_row(database_url: str) -> None:
    made = Crashable(database_url)
    made.outbox.start()
    recorded, unwritten = make_signal(), make_signal()
    made.put(recorded)
    made.taken(1)
    with open_connection(database_url) as connection:
        connection.cursor().execute("BEGIN; LOCK TABLE signals")
        made.put(unwritten)
        assert made.outbox.stop(time.monotonic() + 0.3) == {unwritten.signal_id}
    assert [entry.signal for entry in made.outbox.unfinished()] == [recorded, unwritten]


def test_a_final_status_is_never_overwritten(database_url: str) -> None:
    with running_outbox(database_url) as made:
        made.put(make_signal())
        [entry] = made.taken(1)
        made.finish(entry)
        eventually(lambda: statuses(database_url) == ["executed"])
        made.outbox.sending(entry, 2)
        made.outbox.finish(entry, failed(entry.signal, "rejected", "no", 2, 0.0))
    assert statuses(database_url) == ["executed"]


def test_entries_come_in_the_order_of_the_decisions_whatever_the_batches(database_url: str) -> None:
    signals = [make_signal(f"session-{number % 3}") for number in range(1200)]
    with running_outbox(database_url, capacity=2000) as made:
        made.put(*signals)
        assert [entry.signal for entry in made.taken(1200)] == signals
    assert [row["signal_id"] for row in rows(database_url)] == [signal.signal_id for signal in signals]


def test_a_full_outbox_and_a_repeated_signal_are_refused_at_once(database_url: str) -> None:
    signal = make_signal()
    made = Crashable(database_url, capacity=2)  # not started: nothing is written
    assert made.put(signal, signal, make_signal(), make_signal()) == [
        None,
        "duplicate_signal",
        None,
        "outbox_full",
    ]
    made.database.close()


def test_a_row_that_the_database_refuses_does_not_hold_up_the_others(database_url: str) -> None:
    execute(database_url, "ALTER TABLE signals ADD CHECK (symbol <> 'BAD')")
    signals = [make_signal(symbol="BAD" if number in {3, 41} else "AAPL") for number in range(60)]
    with running_outbox(database_url) as made:
        made.put(*signals)
        entries = made.taken(60)
    assert [entry.signal for entry in entries] == signals
    refused = {number: entry.settled for number, entry in enumerate(entries) if entry.settled is not None}
    assert set(refused) == {3, 41}
    for outcome in refused.values():
        assert outcome.status is SignalStatus.REFUSED
        assert (outcome.report.reason or "").startswith("not_recorded: ")
    assert len(rows(database_url)) == 58


@pytest.mark.parametrize("value", ["'NaN'", "'Infinity'", "'-Infinity'", "0", "-1"])
@pytest.mark.parametrize("column", ["price", "quantity"])
def test_no_row_holds_a_number_that_is_none(database_url: str, column: str, value: str) -> None:
    with running_outbox(database_url) as made:
        made.put(make_signal())
        made.taken(1)
    with pytest.raises(psycopg2.errors.CheckViolation):
        execute(database_url, f"UPDATE signals SET {column} = {value}")  # noqa: S608 — of this test


def test_what_a_crash_left_is_given_first_and_is_the_same_signal(database_url: str) -> None:
    signal = make_signal(price=100.1, metadata={"z": 1.0, "a": {"n": None, "big": 2**70}}, session_id=None)
    before = Crashable(database_url)
    before.put(signal, make_signal())
    before.outbox.start()
    [entry, other] = before.taken(2)
    before.outbox.sending(entry, 3)
    before.finish(other)
    eventually(lambda: statuses(database_url) == ["sending", "executed"])
    before.stop()
    with running_outbox(database_url) as after:
        new = make_signal()
        after.put(new)
        found, fresh = after.taken(2)
        assert (fresh.signal, fresh.ask_until) == (new, None)
        assert (found.signal, encode(found.signal)) == (signal, encode(signal))
        assert found.attempts == 3
        assert found.ask_until is not None
        assert found.expires_at - time.monotonic() == pytest.approx(30.0, abs=5.0)
        assert after.outbox.pending == 2
        after.finish(found)
    assert statuses(database_url) == ["executed", "executed", "pending"]


def test_an_old_row_has_no_time_to_be_sent_and_some_to_be_asked_about(database_url: str) -> None:
    before = Crashable(database_url)
    before.outbox.start()
    before.put(make_signal())
    before.taken(1)
    before.stop()
    execute(database_url, "UPDATE signals SET created_at = created_at - interval '1 hour'")
    with running_outbox(database_url) as after:
        [found] = after.taken(1)
        now = time.monotonic()
        assert found.expires_at < now < (found.ask_until or 0.0)


def test_a_clock_that_went_back_gives_no_signal_more_than_its_time(database_url: str) -> None:
    before = Crashable(database_url)
    before.outbox.start()
    before.put(make_signal())
    before.taken(1)
    before.stop()
    execute(database_url, "UPDATE signals SET created_at = created_at + interval '1 hour'")
    with running_outbox(database_url) as after:
        [found] = after.taken(1)
        assert found.expires_at <= time.monotonic() + 30.0


@pytest.mark.parametrize("status", ["executed", "rejected", "expired", "unknown", "refused"])
def test_a_decision_that_was_made_before_is_told_its_end_and_not_sent_again(
    database_url: str, status: str
) -> None:
    signal = make_signal()
    with running_outbox(database_url) as before:
        before.put(signal)
        [entry] = before.taken(1)
        outcome = filled(signal)
        if status != "executed":
            outcome = failed(signal, status, "because", 1, 0.0)  # type: ignore[arg-type]  # a parameter
        before.outbox.finish(entry, outcome)
    with running_outbox(database_url) as after:
        assert after.put(signal) == [None]
        [again] = after.taken(1)
        assert again.settled is not None
        assert again.settled.status.value == status
        assert again.settled.report == replace(outcome.report, told_before=True)
        assert again.settled.halt_session == (status == "unknown")
        after.outbox.finish(again, again.settled)
        assert after.outbox.pending == 0
        assert not after.outbox.counts().get(SignalStatus(status))  # it was counted the first time
    assert statuses(database_url) == [status]


def test_an_end_that_another_worker_found_for_an_unconfirmed_row_is_told_for_the_first_time(
    database_url: str,
) -> None:
    made = Crashable(database_url)
    made.put(make_signal())
    [entry] = made.outbox.unfinished()
    other = SignalTable(Database(database_url, size=1))  # as if we had written it and it had been adopted
    other.record([entry])
    marks = Marks()
    marks.finish(entry, filled(entry.signal))
    other.mark(marks.take(1))
    other.close()
    made.outbox.start()
    [settled] = made.taken(1)
    made.stop()
    assert settled.settled is not None
    assert (settled.settled.report.status, settled.settled.report.told_before) == ("filled", False)


def test_a_decision_that_is_on_its_way_already_is_not_given_twice(database_url: str) -> None:
    signal = make_signal()
    before = Crashable(database_url)
    before.outbox.start()
    before.put(signal)
    before.taken(1)
    crash(database_url, before)
    with running_outbox(database_url) as after:
        [found] = after.taken(1)
        assert after.put(signal, last := make_signal()) == [None, None]
        [entry] = after.taken(1)
        assert entry.signal is last
        after.finish(found, entry)
        assert after.outbox.pending == 0


def test_a_missing_table_is_waited_for(empty_database_url: str) -> None:
    with running_outbox(empty_database_url) as made:
        made.put(make_signal())
        made.outbox.wait(0.6)
        assert made.outbox.take() == []
        migrate(empty_database_url)
        made.taken(1)
