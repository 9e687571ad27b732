"""`signals list|show|resolve`, through a shell and against a real database."""

import pytest

from services.signals.outcome import failed
from tests.integration.command_line import Ended, command
from tests.integration.durable_outbox import Crashable, rows, running_outbox
from tests.sample_signals import make_signal
from tests.support import eventually, free_port


def signals(url: str, *words: str) -> Ended:
    return command("signals", *words, DATABASE_URL=url)


@pytest.fixture
def unknown(database_url: str) -> str:
    """The id of a signal of which nothing is known; another one of another session was executed."""
    with running_outbox(database_url) as made:
        made.put(signal := make_signal("s1"), make_signal("s2", symbol="BTC/USD"))
        lost, done = made.taken(2)
        made.outbox.finish(lost, failed(signal, "unknown", "read_timeout", 1, 0.0))
        made.finish(done)
    return signal.signal_id


def test_list_shows_the_newest_first_and_can_be_narrowed(database_url: str, unknown: str) -> None:
    listed = signals(database_url, "list", "--json").json
    assert [row["session_key"] for row in listed] == ["s2", "s1"]
    assert listed[1]["price"] == 100.5
    for narrowed in (["--status", "unknown"], ["--session", "s1"], ["--session", "s1", "--limit", "1"]):
        assert [row["signal_id"] for row in signals(database_url, "list", "--json", *narrowed).json] == [
            unknown
        ]
    assert [row["session_key"] for row in signals(database_url, "list", "--json", "--limit", "1").json] == [
        "s2"
    ]
    table = signals(database_url, "list").output
    assert "BTC/USD" in table
    assert "read_timeout" in table


def test_list_says_when_there_is_nothing(database_url: str) -> None:
    assert signals(database_url, "list") == (0, "no signals\n")
    assert signals(database_url, "list", "--json").json == []


def test_show_tells_everything_about_one(database_url: str, unknown: str) -> None:
    shown = signals(database_url, "show", unknown, "--json").json
    assert (shown["status"], shown["reason"], shown["body"]["signalId"]) == (
        "unknown",
        "read_timeout",
        unknown,
    )
    assert shown["report"]["status"] == "unknown"
    assert unknown in signals(database_url, "show", unknown).output


def test_show_fails_for_what_is_not_there(database_url: str) -> None:
    ended = signals(database_url, "show", "nothing")
    assert ended.code == 1
    assert "there is no signal nothing" in ended.output


@pytest.mark.parametrize(("finding", "reported"), [("executed", "filled"), ("rejected", "rejected")])
def test_what_a_person_found_out_is_kept_with_name_and_time(
    database_url: str, unknown: str, finding: str, reported: str
) -> None:
    ended = signals(
        database_url,
        "resolve",
        unknown,
        "--as",
        finding,
        "--reason",
        "asked the broker",
        "--by",
        "Ada",
        "--json",
    )
    assert ended.code == 0
    row = rows(database_url)[0]
    assert (row["status"], row["report"]["status"]) == (finding, reported)
    assert row["reason"].startswith(f"resolved as {finding} by Ada at 20")
    assert row["reason"].endswith(": asked the broker; was unknown (read_timeout)")
    assert row["report"]["filled_quantity"] == (10.0 if finding == "executed" else 0.0)
    assert ended.json["status"] == finding


def test_a_resolved_decision_is_told_as_resolved_when_it_is_made_again(
    database_url: str, unknown: str
) -> None:
    signals(database_url, "resolve", unknown, "--as", "executed")
    with running_outbox(database_url) as made:
        made.put(make_signal("s1", signal_id=unknown))
        [entry] = made.taken(1)
        assert entry.settled is not None
        assert entry.settled.report.executed
        assert not entry.settled.halt_session


def test_only_what_is_unknown_can_be_resolved_and_only_once(database_url: str, unknown: str) -> None:
    done = rows(database_url)[1]["signal_id"]
    for signal_id, said in ((done, "is executed"), ("nothing", "there is no signal")):
        ended = signals(database_url, "resolve", signal_id, "--as", "rejected")
        assert (ended.code, said in ended.output) == (1, True)
    assert signals(database_url, "resolve", unknown, "--as", "executed").code == 0
    assert signals(database_url, "resolve", unknown, "--as", "rejected").code == 1
    assert rows(database_url)[0]["status"] == "executed"


def test_what_a_worker_is_delivering_cannot_be_resolved_until_it_is_gone(database_url: str) -> None:
    made = Crashable(database_url)
    made.outbox.start()
    made.put(signal := make_signal())
    made.taken(1)
    ended = signals(database_url, "resolve", signal.signal_id, "--as", "rejected")
    assert (ended.code, "being delivered" in ended.output) == (1, True)
    made.stop()
    eventually(lambda: signals(database_url, "resolve", signal.signal_id, "--as", "rejected").code == 0)
    assert rows(database_url)[0]["status"] == "rejected"


def test_wrong_use_and_a_missing_database_have_their_exit_codes(database_url: str, unknown: str) -> None:
    assert signals(database_url, "resolve", unknown).code == 2
    assert signals(database_url, "resolve", unknown, "--as", "maybe").code == 2
    assert signals(database_url, "list", "--status", "gone").code == 2
    assert command("signals", "list").code == 2
    assert signals(f"postgresql://u@127.0.0.1:{free_port()}/x", "list").code == 1
