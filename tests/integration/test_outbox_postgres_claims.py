"""Several workers on one database: each delivers its own signals, and those of runs that are no more."""

import threading

from services.signals.outcome import failed
from tests.integration.durable_outbox import (
    Crashable,
    execute,
    open_connection,
    rows,
    running_outbox,
    statuses,
)
from tests.sample_signals import make_signal
from tests.support import eventually

LOCKS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"  # noqa: E501 — one statement


def locks(url: str) -> set[int]:
    """The server processes that hold a claim."""
    with open_connection(url) as connection:
        cursor = connection.cursor()
        cursor.execute(LOCKS)
        return {pid for (pid,) in cursor.fetchall()}


def test_a_second_worker_leaves_the_signals_of_the_first_alone(database_url: str) -> None:
    with running_outbox(database_url) as first:
        first.put(*(make_signal() for _ in range(3)))
        entries = first.taken(3)
        with running_outbox(database_url) as second:
            own = make_signal()
            second.put(own)
            assert [entry.signal for entry in second.taken(1)] == [own]
            second.outbox.wait(0.5)
            assert second.outbox.take() == []
        first.finish(*entries)
    assert statuses(database_url) == ["executed"] * 3 + ["pending"]


def test_what_a_crash_left_of_a_halted_session_is_not_to_be_sent(database_url: str) -> None:
    before = Crashable(database_url)
    before.outbox.start()
    before.put(make_signal("halted"), make_signal("halted"), make_signal("resolved"), make_signal("well"))
    before.put(make_signal("resolved"))
    unknown, _, resolved, *_ = before.taken(5)
    for entry in (unknown, resolved):
        before.outbox.finish(entry, failed(entry.signal, "unknown", "read_timeout", 1, 0.0))
    before.stop()
    execute(
        database_url,
        "UPDATE signals SET status = 'rejected' WHERE session_key = 'resolved' AND status = 'unknown'",
    )
    with running_outbox(database_url) as after:
        found = {entry.signal.session_key: entry.refusal for entry in after.taken(3)}
    assert found == {"halted": "session_halted", "resolved": None, "well": None}


def test_what_several_starters_find_is_given_to_one_of_them(database_url: str) -> None:
    before = Crashable(database_url)
    before.outbox.start()
    before.put(*(make_signal(f"session-{number % 5}") for number in range(200)))
    before.taken(200)
    before.stop()
    after = [Crashable(database_url) for _ in range(4)]
    threads = [threading.Thread(target=each.outbox.start) for each in after]
    for thread in threads:
        thread.start()
    own = [make_signal() for _ in after]
    for each, signal in zip(after, own, strict=True):
        each.put(signal)
    found: list[str] = []

    def all_found() -> bool:
        """A worker gives its own signal only when it has looked for others."""
        found.extend(entry.signal.signal_id for each in after for entry in each.outbox.take())
        return {signal.signal_id for signal in own} <= set(found)

    eventually(all_found)
    for each in after:
        each.stop()
    assert sorted(found) == sorted(row["signal_id"] for row in rows(database_url))


def test_a_run_that_ends_leaves_its_signals_to_a_worker_that_goes_on(database_url: str) -> None:
    with running_outbox(database_url) as survivor:
        ending = Crashable(database_url)
        ending.outbox.start()
        ending.put(signal := make_signal())
        ending.taken(1)
        ending.stop()
        [entry] = survivor.taken(1, seconds=20)
        assert entry.signal == signal
        assert entry.ask_until is not None


def test_a_run_that_lost_its_connection_has_its_claim_back_at_once(database_url: str) -> None:
    with running_outbox(database_url) as made:
        made.put(make_signal())
        [entry] = made.taken(1)
        [before] = eventually(lambda: locks(database_url))
        execute(database_url, f"SELECT pg_terminate_backend({before})")
        eventually(lambda: locks(database_url) - {before})
        with running_outbox(database_url) as other:
            eventually(lambda: len(locks(database_url)) == 2)
            other.outbox.wait(0.3)
            assert other.outbox.take() == []
        made.finish(entry)
    assert statuses(database_url) == ["executed"]


def test_a_decision_that_another_worker_is_delivering_is_refused(database_url: str) -> None:
    signal = make_signal()
    with running_outbox(database_url) as first, running_outbox(database_url) as second:
        first.put(signal)
        first.taken(1)
        second.put(signal)
        [entry] = second.taken(1)
        assert entry.settled is not None
        assert (entry.settled.report.status, entry.settled.report.reason) == ("refused", "duplicate_signal")
        second.outbox.finish(entry, entry.settled)
    assert statuses(database_url) == ["pending"]
