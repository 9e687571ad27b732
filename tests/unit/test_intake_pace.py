"""When the intake has done enough."""

from typing import Any

import pytest

from services.intake.pace import Ending, Pace, Vigil


class Hours:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hours() -> Hours:
    return Hours()


def vigil(hours: Hours, **pace: Any) -> Vigil:
    return Vigil(Pace(**pace), hours)


def test_without_an_end_it_never_ends(hours: Hours) -> None:
    watch = vigil(hours)
    hours.now += 1e9
    assert watch.ending(None) is None
    assert watch.ending("away") is None


def test_it_is_idle_after_so_long_without_a_message(hours: Hours) -> None:
    watch = vigil(hours, until_idle=5)
    assert watch.ending(None) is None
    hours.now += 4
    watch.heard()
    hours.now += 4.9
    assert watch.ending(None) is None
    hours.now += 0.1
    assert watch.ending(None) is Ending.IDLE


def test_a_source_that_is_away_is_not_idle(hours: Hours) -> None:
    watch = vigil(hours, until_idle=5)
    hours.now += 20
    assert watch.ending("joining the group") is None
    hours.now += 1
    assert watch.ending(None) is None
    hours.now += 5
    assert watch.ending(None) is Ending.IDLE


def test_a_source_that_stays_away_ends_a_job_as_unreachable(hours: Hours) -> None:
    watch = vigil(hours, until_idle=5)
    hours.now += 29.9
    assert watch.ending("away") is None
    hours.now += 0.1
    assert watch.ending("away") is Ending.UNREACHABLE
    assert not Ending.UNREACHABLE.fine


def test_the_time_is_up_in_any_case(hours: Hours) -> None:
    watch = vigil(hours, max_seconds=60)
    hours.now += 59
    watch.heard()
    assert watch.ending(None) is None
    hours.now += 1
    assert watch.ending(None) is Ending.TIME_UP
    assert watch.ending("away") is Ending.UNREACHABLE


def test_a_batch_is_not_gathered_beyond_the_end(hours: Hours) -> None:
    assert vigil(hours).gather_seconds() == 30
    assert vigil(hours, until_idle=5).gather_seconds() == 5
    watch = vigil(hours, max_seconds=60)
    hours.now += 50
    assert watch.gather_seconds() == 10
    hours.now += 50
    assert watch.gather_seconds() == 0
