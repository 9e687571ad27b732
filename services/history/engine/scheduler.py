"""Runs something whenever its schedule says so: on one machine at a time, and once for what was missed."""

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event
from typing import Protocol

import structlog

from models.errors import StorageUnavailable, StrategyWorkerError
from services.history.engine.schedule import Schedule
from services.history.engine.schedule_table import ScheduleTable

LOOK_SECONDS = 60.0
BUSY_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Clock(Protocol):
    """What time it is, and a wait that can be ended."""

    def now(self) -> datetime:
        """Return the time, in UTC."""

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until a stop is asked for; return whether it is."""


class WallClock:
    """The machine's clock; `stop` ends a wait."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.now(UTC)

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until a stop is asked for; return whether it is."""
        return self._stop.wait(seconds)


class Scheduler:
    """Runs `run(due)` once for each time of a schedule, until a stop is asked for.

    `run` returns in words what came of it, None where a stop cut it short: then it stays due. Of several
    times that were missed, by whoever shares the table, the last is caught up, and only that. It looks at the
    clock every minute, for a machine that slept.
    """

    def __init__(
        self,
        schedule: Schedule,
        table: ScheduleTable,
        run: Callable[[datetime], str | None],
        clock: Clock,
    ) -> None:
        self._schedule = schedule
        self._table = table
        self._run = run
        self._clock = clock
        self._known = False

    def loop(self) -> None:
        """Wait and run until a stop is asked for. A database that is away is waited for."""
        self._schedule.due_after(self._clock.now())  # raises where it never is
        stopped = False
        while not stopped:
            try:
                seconds = self._step()
            except StorageUnavailable as error:
                log.warning("schedule_waits", schedule=self._schedule.text, reason=str(error))
                seconds = BUSY_SECONDS
            stopped = self._clock.wait(seconds)

    def _step(self) -> float:
        """Run what is due; return for how many seconds there is nothing to do."""
        now = self._clock.now()
        if not self._known:
            self._table.begin(now)
            self._known = True
        due = self._schedule.due_before(now)
        if due is not None and due > self._table.last():
            return self._take_turn(due)
        return min(LOOK_SECONDS, max(0.0, (self._schedule.due_after(now) - now).total_seconds()))

    def _take_turn(self, due: datetime) -> float:
        with self._table.turn() as turn:
            if turn is None:
                return BUSY_SECONDS  # another one runs it: done, or free again, when it is looked at next
            if turn.last >= due:
                return 0.0
            log.info("scheduled_run", schedule=self._schedule.text, due=due.isoformat())
            try:
                outcome = self._run(due)
            except StorageUnavailable:
                raise  # nothing could be noted: it stays due
            except (StrategyWorkerError, OSError) as error:
                outcome = f"failed: {error}"
            if outcome is None:
                return BUSY_SECONDS
            turn.note(due, outcome, self._clock.now())
        return 0.0
