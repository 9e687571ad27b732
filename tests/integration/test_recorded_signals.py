"""What the table of signals says that a saved position does not hold yet, or holds already."""

from datetime import UTC, datetime, timedelta

import pytest

from models.errors import ConfigError
from models.signal import Signal
from services.db_client import Database
from services.signals.outbox import OutboxEntry
from services.state_history import Past, RecordedSignals
from tests.integration.durable_outbox import running_outbox
from tests.sample_signals import make_signal

FUTURE = datetime.now(UTC) + timedelta(hours=1)


def written(url: str, *signals: Signal, answered: int) -> list[OutboxEntry]:
    """Write signals, and the answers to the first so many."""
    with running_outbox(url) as made:
        made.put(*signals)
        entries = made.taken(len(signals))
        made.finish(*entries[:answered])
    return entries


def found(
    url: str, moment: datetime | None, *open_signals: Signal, unwritten: tuple[Signal, ...] = ()
) -> dict[str, tuple[bool, bool]]:
    """Which signals are told of: whether each has its answer, and whether it is counted already."""
    past = Past(
        session_key="session-1",
        symbol="AAPL",
        open_signals=tuple(signal.signal_id for signal in open_signals),
        moment=moment,
    )
    history = RecordedSignals(Database(url, size=1), lambda: unwritten)
    return {each.signal_id: (each.report is not None, each.counted) for each in history.since(past)}


def test_everything_there_ever_was_is_told_where_nothing_was_saved(database_url: str) -> None:
    signals = [make_signal(), make_signal()]
    written(database_url, *signals, make_signal("other"), make_signal(symbol="MSFT"), answered=1)
    assert found(database_url, None) == {
        signals[0].signal_id: (True, False),
        signals[1].signal_id: (False, False),
    }


def test_what_was_decided_after_the_save_is_not_in_the_position(database_url: str) -> None:
    before, after = make_signal(), make_signal()
    entries = written(database_url, before, after, answered=2)
    assert found(database_url, entries[0].created_at) == {after.signal_id: (True, False)}


def test_what_was_on_its_way_at_the_save_is_not_in_the_position(database_url: str) -> None:
    signal = make_signal()
    written(database_url, signal, make_signal(), answered=2)
    assert found(database_url, FUTURE, signal) == {signal.signal_id: (True, False)}


def test_what_the_table_thinks_on_its_way_and_the_position_does_not_is_in_it_already(
    database_url: str,
) -> None:
    signal = make_signal()
    written(database_url, signal, answered=0)
    assert found(database_url, FUTURE) == {signal.signal_id: (False, True)}


def test_nor_is_it_booked_again_when_its_answer_is_written_meanwhile(database_url: str) -> None:
    signal = make_signal()
    written(database_url, signal, answered=1)
    assert found(database_url, FUTURE, unwritten=(signal,)) == {signal.signal_id: (True, True)}


def test_what_has_no_row_yet_is_on_its_way(database_url: str) -> None:
    signal = make_signal()
    assert found(database_url, FUTURE, signal, unwritten=(signal, make_signal("other"))) == {
        signal.signal_id: (False, False)
    }


def test_without_the_table_an_operator_has_to_act(empty_database_url: str) -> None:
    with pytest.raises(ConfigError, match="migrate"):
        found(empty_database_url, None)
