"""Runs by a schedule: each due time once, by one of many, caught up once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from models.errors import ConfigError, StorageUnavailable, StrategyRejected
from services.db_client import Database
from services.history.engine.schedule import Schedule
from services.history.engine.schedule_table import ScheduleTable, Turn
from services.history.engine.scheduler import Scheduler

START = datetime(2026, 1, 26, 9, 0, tzinfo=UTC)
NAME = "universe"


class FakeClock:
    """A clock that goes on only while somebody waits; `until` is when a stop is asked for."""

    def __init__(self, now: datetime, until: datetime) -> None:
        self._now = now
        self._until = until

    def now(self) -> datetime:
        return self._now

    def wait(self, seconds: float) -> bool:
        self._now += timedelta(seconds=max(seconds, 0.001))
        return self._now >= self._until


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def runs(
    database: Database,
    start: datetime,
    hours: float,
    run: Callable[[datetime], str | None] = lambda _: "fine",
) -> list[str]:
    """Give what was run for, from `start` for so many hours, on a machine of its own."""
    done: list[str] = []

    def noted(due: datetime) -> str | None:
        done.append(due.strftime("%d %H:%M"))
        return run(due)

    clock = FakeClock(start, start + timedelta(hours=hours))
    Scheduler(Schedule.parse("10:00,15:30"), ScheduleTable(database, NAME), noted, clock).loop()
    return done


def outcome(database: Database) -> object:
    with database.transaction() as cursor:
        cursor.execute("SELECT outcome FROM engine_schedules WHERE name = %s", (NAME,))
        row = cursor.fetchone()
    return None if row is None else row[0]


def test_it_runs_once_for_each_time(database: Database) -> None:
    assert runs(database, START, 26) == ["26 10:00", "26 15:30", "27 10:00"]
    assert outcome(database) == "fine"


def test_a_new_schedule_catches_nothing_up(database: Database) -> None:
    assert runs(database, START + timedelta(hours=3), 1) == []


def test_of_what_was_missed_the_last_is_caught_up_and_only_once(database: Database) -> None:
    runs(database, START, 2)
    assert runs(database, START + timedelta(days=2, hours=3), 1) == ["28 10:00"]
    assert runs(database, START + timedelta(days=2, hours=4), 1) == []


def test_what_a_stop_cut_short_stays_due(database: Database) -> None:
    assert runs(database, START, 1.001, lambda _: None) == ["26 10:00"]
    assert runs(database, START + timedelta(hours=2), 1) == ["26 10:00"]


@pytest.mark.parametrize(
    "error", [StrategyRejected("no such thing"), ConfigError("no file"), OSError("full")]
)
def test_a_run_that_fails_is_noted_and_the_next_one_comes(database: Database, error: Exception) -> None:
    def fails(_: datetime) -> str | None:
        raise error

    assert runs(database, START, 7, fails) == ["26 10:00", "26 15:30"]
    assert outcome(database) == f"failed: {error}"


def test_a_run_whose_results_could_not_be_stored_stays_due(database: Database) -> None:
    tries = iter([StorageUnavailable("gone"), StorageUnavailable("gone"), None])

    def fails_twice(_: datetime) -> str | None:
        if (error := next(tries)) is not None:
            raise error
        return "fine"

    assert runs(database, START, 2, fails_twice) == ["26 10:00"] * 3
    assert outcome(database) == "fine"


def test_of_two_machines_one_runs_and_the_other_finds_it_done(database: Database) -> None:
    others: list[str] = []

    def meanwhile(_: datetime) -> str:
        others.extend(runs(database, START + timedelta(hours=1), 0.01))
        return "fine"

    assert runs(database, START, 2, meanwhile) == ["26 10:00"]
    assert runs(database, START + timedelta(hours=2), 1) == others == []


def test_what_another_machine_has_just_done_is_not_done_again(database: Database) -> None:
    class Slow(ScheduleTable):
        """Looks, and takes so long to come to its turn that another machine has done it meanwhile."""

        @contextmanager
        def turn(self) -> Iterator[Turn | None]:
            others.extend(runs(database, START + timedelta(hours=1), 0.01))
            with super().turn() as turn:
                yield turn

    others: list[str] = []
    runs(database, START, 0.5)
    clock = FakeClock(START + timedelta(hours=1), START + timedelta(hours=2))
    Scheduler(Schedule.parse("10:00"), Slow(database, NAME), lambda _: "done twice", clock).loop()
    assert others == ["26 10:00"]
    assert outcome(database) == "fine"


def test_when_the_one_that_runs_dies_the_other_takes_over(database: Database) -> None:
    class Killed(BaseException): ...

    def dies(_: datetime) -> str:
        raise Killed

    with pytest.raises(Killed):
        runs(database, START, 2, dies)
    assert runs(database, START + timedelta(hours=1), 1) == ["26 10:00"]
