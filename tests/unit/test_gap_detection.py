"""Gaps between messages: exact with sequence numbers, modest without."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gap_detection import DUPLICATE, Missed, Position, after, missing_bars, step_of

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)


def test_the_first_message_tells_of_nothing_before_it() -> None:
    assert after(None, Position(1, 500)) is None


def test_the_next_number_means_nothing_was_missed() -> None:
    assert after(Position(1, 7), Position(1, 8)) is None
    assert after(Position(None, 7), Position(None, 8)) is None


@pytest.mark.parametrize("seq", [1, 7])
def test_a_number_that_was_there_before_is_a_duplicate(seq: int) -> None:
    assert after(Position(1, 7), Position(1, seq)) is DUPLICATE


def test_a_publisher_that_started_over_leaves_it_unknown_how_many_were_missed() -> None:
    assert after(Position(1, 7), Position(2, 1)) == Missed(None, "publisher_started_over")


@given(st.lists(st.booleans(), max_size=200))
def test_the_missed_messages_add_up_to_those_that_were_dropped(arrives: list[bool]) -> None:
    arrives = [True, *arrives, True]
    last, missed = None, 0
    for seq, arrived in enumerate(arrives):
        if arrived:
            hole = after(last, Position(1, seq))
            missed += (hole.messages or 0) if hole else 0
            last = Position(1, seq)
    assert missed == arrives.count(False)


@pytest.mark.parametrize(
    ("timeframe", "seconds"),
    [
        ("30s", 30),
        ("1m", 60),
        ("5m", 300),
        ("4h", 14400),
        ("1d", None),
        ("0m", None),
        ("tick", None),
        ("", None),
    ],
)
def test_the_step_of_a_timeframe(timeframe: str, seconds: int | None) -> None:
    assert step_of(timeframe) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(("minutes", "missing"), [(1, 0), (2, 1), (10, 9), (0.5, 0)])
def test_bars_between_two_that_follow_each_other_are_missing(minutes: float, missing: int) -> None:
    assert missing_bars("1m", NOON, NOON + timedelta(minutes=minutes)) == missing


def test_the_night_between_two_days_is_no_gap() -> None:
    assert missing_bars("1m", NOON, NOON + timedelta(hours=21)) == 0
    assert missing_bars("1d", NOON, NOON + timedelta(days=3)) == 0
