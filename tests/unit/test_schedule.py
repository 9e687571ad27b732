"""When a schedule is due, in any zone, on any day."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ConfigError
from services.history.engine.schedule import Schedule

MONDAY = datetime(2026, 1, 26, tzinfo=UTC)


def due(text: str, start: datetime, count: int) -> list[str]:
    schedule, moments = Schedule.parse(text), []
    for _ in range(count):
        start = schedule.due_after(start)
        moments.append(start.strftime("%m-%d %H:%M"))
    return moments


@pytest.mark.parametrize(
    ("text", "moments"),
    [
        ("15:30 Asia/Kolkata", ["01-26 10:00", "01-27 10:00", "01-28 10:00"]),
        ("15:30", ["01-26 15:30", "01-27 15:30", "01-28 15:30"]),
        ("mon,wed 9:00,16:00 Europe/London", ["01-26 09:00", "01-26 16:00", "01-28 09:00"]),
        ("sat-mon 00:00 UTC", ["01-31 00:00", "02-01 00:00", "02-02 00:00"]),
        ("Mon-Fri 23:59 America/New_York", ["01-27 04:59", "01-28 04:59", "01-29 04:59"]),
        ("03:00 Pacific/Auckland", ["01-26 14:00", "01-27 14:00", "01-28 14:00"]),
    ],
)
def test_a_schedule_is_due_at_its_times_in_its_zone(text: str, moments: list[str]) -> None:
    assert due(text, MONDAY, 3) == moments


def test_when_clocks_go_forward_a_time_that_there_is_not_is_due_an_hour_later() -> None:
    assert due("01:30 Europe/London", datetime(2026, 3, 28, 12, tzinfo=UTC), 2) == [
        "03-29 01:30",  # 02:30 there: 01:30 was skipped
        "03-30 00:30",
    ]


def test_when_clocks_go_back_a_time_that_comes_twice_is_due_once() -> None:
    assert due("01:30 Europe/London", datetime(2026, 10, 24, 12, tzinfo=UTC), 2) == [
        "10-25 00:30",
        "10-26 01:30",
    ]


def test_a_day_on_which_the_exchange_is_closed_is_skipped() -> None:
    schedule = Schedule.parse("15:30 Asia/Kolkata", lambda day: day != date(2026, 1, 26))
    assert schedule.due_after(MONDAY).day == 27
    assert schedule.due_before(MONDAY + timedelta(hours=12)) == datetime(2026, 1, 25, 10, tzinfo=UTC)


def test_a_schedule_that_is_never_due_is_refused() -> None:
    with pytest.raises(ConfigError, match="is not due within a year"):
        Schedule.parse("15:30", lambda _: False).due_after(MONDAY)
    assert Schedule.parse("15:30", lambda _: False).due_before(MONDAY) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "noon",
        "25:00",
        "15:60",
        "15:30 Asia/Atlantis",
        "mon",
        "mun 15:30",
        "15:30 UTC now",
        "15:30,",
        "15:30 ../x",
    ],
)
def test_what_is_no_schedule_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ConfigError, match='write it like "15:30 Asia/Kolkata"'):
        Schedule.parse(text)


@given(
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 — given its zone below
    zone=st.sampled_from(["UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    hour=st.integers(0, 23),
)
def test_before_and_after_meet_at_every_moment(moment: datetime, zone: str, hour: int) -> None:
    moment = moment.replace(tzinfo=UTC)
    schedule = Schedule.parse(f"{hour}:30 {zone}")
    before, after = schedule.due_before(moment), schedule.due_after(moment)
    assert before is not None
    assert before <= moment < after
    assert schedule.due_after(before) == after
    assert schedule.due_before(after) == after
    assert timedelta(hours=22) < after - before < timedelta(hours=26)


def test_over_two_years_each_day_comes_once() -> None:
    schedule, moment = Schedule.parse("02:30 America/New_York"), datetime(2025, 1, 1, tzinfo=UTC)
    days = []
    for _ in range(730):
        moment = schedule.due_after(moment)
        days.append(moment.astimezone(schedule.zone).date())
    assert all(later - earlier == timedelta(days=1) for earlier, later in pairwise(days))
