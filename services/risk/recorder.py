"""Risk events on their way to the table `risk_events`: nobody waits for the database.

While it is away they wait in memory; beyond 10,000 the oldest are lost, and counted.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog

from models.errors import ConfigError, StorageConflict, StorageUnavailable
from models.risk_event import RiskEvent
from services.db_client import Database
from services.telemetry.logs import Throttle

WAITING = 10_000
BATCH = 500
LOG_SECONDS = 10.0

WRITE = """
    INSERT INTO risk_events (event_id, execution_id, session_key, event_type, severity, description, data,
                             action_taken, created_at)
    SELECT event_id, execution_id, session_key, event_type, severity, description, data, action_taken,
           created_at
    FROM json_to_recordset(%s) AS given (
        event_id uuid, execution_id uuid, session_key text, event_type text, severity text, description text,
        data jsonb, action_taken text, created_at timestamptz)
    ON CONFLICT (event_id) DO NOTHING
"""

log = structlog.get_logger(__name__)
throttle = Throttle(LOG_SECONDS)


class EventStore(Protocol):
    """Where risk events are kept."""

    def write(self, events: list[RiskEvent]) -> None:
        """Keep the events; those that are there already stay. Raises StorageUnavailable, StorageConflict."""


class PostgresEvents:
    """Keeps risk events in the table `risk_events`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, events: list[RiskEvent]) -> None:
        """Keep the events in one transaction. Raises ConfigError, too, without the table."""
        with self._database.transaction() as cursor:
            cursor.execute(WRITE, (msgspec.json.encode(events).decode(),))


class LoggedEvents:
    """Keeps nothing: without a database the log is all there is."""

    def write(self, events: list[RiskEvent]) -> None:
        """Log the events, those of one kind once in a while."""
        for event in events:
            throttle.log(
                log.warning,
                "risk_event",
                key=event.event_type,
                reason=event.description,
                action=event.action_taken,
            )


class Recorder:
    """Takes events from every thread, and writes them when it is told to. `count` hears of each.

    `recorded` hears how many were written and how many were lost.
    """

    def __init__(
        self,
        store: EventStore,
        count: Callable[[RiskEvent], None],
        recorded: Callable[[int, int], None],
    ) -> None:
        self._store = store
        self._count = count
        self._recorded = recorded
        self._waiting: deque[RiskEvent] = deque(maxlen=WAITING)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, event: RiskEvent) -> None:
        """Take an event. Never waits."""
        self._count(event)
        if len(self._waiting) == WAITING:
            self._recorded(0, 1)
        self._waiting.append(event)

    def write(self) -> bool:
        """Write what waits; false where the store does not take it now. For one thread at a time."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if not self._write(batch):
                return False
        return True

    def _write(self, batch: list[RiskEvent]) -> bool:
        try:
            self._store.write(batch)
        except (StorageUnavailable, ConfigError) as error:
            throttle.log(log.warning, "risk_events_not_written", key="risk_events", reason=str(error))
            self._give_back(batch)
            return False
        except StorageConflict as error:
            if len(batch) == 1:
                log.error("risk_event_refused", event_id=batch[0].event_id, reason=str(error))  # noqa: TRY400
                self._recorded(0, 1)
                return True
            middle = len(batch) // 2
            if self._write(batch[:middle]):
                return self._write(batch[middle:])
            self._give_back(batch[middle:])
            return False
        self._recorded(len(batch), 0)
        return True

    def _give_back(self, batch: list[RiskEvent]) -> None:
        room = WAITING - len(self._waiting)
        self._waiting.extendleft(reversed(batch[-room:] if room else []))
        self._recorded(0, max(len(batch) - room, 0))
