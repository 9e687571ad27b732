"""What a host says, as its worker takes it: in order, within bounds, and to the end."""

import os

import pytest

from models.saved_state import MAX_STATE_BYTES
from services.sandbox.budgets import LOG_PATIENCE, Budgets, Meter
from services.sandbox.client import HostProcess
from services.sandbox.hearing import Hearing
from services.sandbox.journal import Journal
from services.sandbox.protocol import Done, LogLine, ProtocolViolation, State, frame
from services.sandbox.told import Told
from services.sandbox.wire import READ_BYTES, Wire
from tests.sealed_hosts import bar

BUDGETS = Budgets(log_lines_per_second=3)
PATIENCE = LOG_PATIENCE * BUDGETS.log_lines_per_second


def hearing(*, warm_up: bool = False, is_again: bool = False) -> Hearing:
    """Of two bars that a live host was told."""
    made = Hearing(Journal(), Meter(BUDGETS, os.getpid(), 0.0), ())
    made.under_way = [Told(bar(minute), warm_up=warm_up) for minute in (1, 2)]
    made.live, made.is_again = True, is_again
    return made


def line(seq: int) -> LogLine:
    return LogLine(seq=seq, level="info", text="so it goes")


@pytest.mark.parametrize("past", [{"warm_up": True}, {"is_again": True}])
def test_log_lines_of_the_past_end_a_host_only_for_too_many_at_one_event(past: dict[str, bool]) -> None:
    heard = hearing(**past)
    for seq in (1, 2):
        for _ in range(PATIENCE):
            heard.hear(line(seq))
    assert heard.ending is None
    heard.hear(line(2))
    assert heard.ending is not None
    assert "lines at one event" in heard.ending.reason


def test_log_lines_of_two_events_of_now_break_the_rate() -> None:
    heard = hearing()
    for number in range(PATIENCE + 1):
        heard.hear(line(1 + number // PATIENCE))
    assert heard.ending is not None
    assert "lines in a second" in heard.ending.reason
    assert [told.spoilt for told in heard.under_way] == [False, False]


def test_what_is_said_of_an_event_after_a_later_one_breaks_the_protocol() -> None:
    heard = hearing(is_again=True)
    heard.hear(line(2))
    with pytest.raises(ProtocolViolation, match="event 1"):
        heard.hear(line(1))


def test_after_a_batch_the_next_one_is_heard_from_its_first_event_on() -> None:
    heard = hearing()
    heard.hear(line(2))
    heard.hear(Done(seq=2))
    heard.under_way = [Told(bar(3)), Told(bar(4))]
    assert heard.hear(line(3)) is not None
    assert heard.is_known


def test_the_last_words_of_a_host_are_heard_beyond_a_frame_longer_than_a_read() -> None:
    process = HostProcess(1, lambda _: None)
    wire = Wire(process, BUDGETS, 0.0)
    said: list[LogLine | State] = [line(1), State(seq=1, state="x" * (MAX_STATE_BYTES - 2)), line(2)]
    assert READ_BYTES < MAX_STATE_BYTES
    far_end = process.far_end
    far_end.sendall(b"".join(frame(each) for each in said))
    far_end.close()
    try:
        assert list(wire.read_to_the_end()) == said
        assert not wire.is_open
    finally:
        process.close()
