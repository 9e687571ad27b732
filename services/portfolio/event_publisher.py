"""Publishes what is to be told about executions: at least once, in order, each under its own id."""

from collections.abc import Callable
from threading import Event, Thread
from typing import NamedTuple

import structlog

from models.errors import ConfigError, StorageConflict, StorageUnavailable
from services.db_client import Database
from services.intake.messages import MessagePublisher
from services.telemetry.logs import Throttle

BATCH = 200
LOOK_SECONDS = 1.0
FLUSH_SECONDS = 5.0
RETRY_SECONDS = 1.0
KEPT_DAYS = 7
LOG_SECONDS = 30.0

WAITING = """
    SELECT event_id, execution_id, topic, payload::text FROM execution_events
    WHERE published_at IS NULL ORDER BY number LIMIT %s
"""
PUBLISHED = "UPDATE execution_events SET published_at = now() WHERE event_id = ANY(%s::uuid[])"
FORGET = "DELETE FROM execution_events WHERE published_at < now() - make_interval(days => %s)"

log = structlog.get_logger(__name__)


class _Waiting(NamedTuple):
    event_id: str
    execution_id: str | None
    topic: str
    payload: str


class EventPublisher:
    """Takes events out of their table and gives them to the streams, on a thread of its own.

    Published ones are kept for a week. An event whose acknowledgement was lost is published again; so is one
    that two workers find at the same time. `forget` is called between events, for what else is too old.
    """

    def __init__(
        self,
        database: Database,
        publisher: MessagePublisher,
        forget: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self._forget = forget
        self.published = 0
        self._database = database
        self._publisher = publisher
        self._given: set[str] = set()
        self._throttle = Throttle(LOG_SECONDS)
        self._news = Event()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="portfolio-events", daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def wake(self) -> None:
        """Tell that there is something to be published. Never waits."""
        self._news.set()

    def stop(self, timeout: float) -> bool:
        """Publish what is there, and end; false when that took longer than `timeout` seconds."""
        self._stop.set()
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        self._publisher.close(FLUSH_SECONDS if not self._thread.is_alive() else 0.0)
        return not self._thread.is_alive()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.is_set()
            try:
                while self._publish():
                    pass
                if not stopping:
                    self._forget(self._stop)
                    self._news.wait(LOOK_SECONDS)
                    self._news.clear()
            except (StorageUnavailable, ConfigError) as error:
                self._throttle.log(log.warning, "events_not_published", key="events", reason=str(error))
                self._stop.wait(RETRY_SECONDS)
            except Exception:  # the loop of a thread: whatever is wrong now, later events need it
                log.exception("event_publisher_failed")
                self._stop.wait(RETRY_SECONDS)

    def _publish(self) -> bool:
        """Publish the next events; false when there were none."""
        with self._database.transaction() as cursor:
            cursor.execute(WAITING, (BATCH,))
            waiting = [_Waiting(*row) for row in cursor.fetchall()]
        if not waiting:
            return False
        for event in waiting:
            if event.event_id not in self._given:  # else it waits for its acknowledgement in the publisher
                self._publisher.publish(
                    event.topic, event.execution_id or event.event_id, event.payload.encode()
                )
                self._given.add(event.event_id)
        try:
            self._publisher.flush(FLUSH_SECONDS)
        except StorageConflict as error:
            log.error("events_refused_by_broker", reason=str(error))  # noqa: TRY400 — the broker's own words
        ids = [event.event_id for event in waiting]
        with self._database.transaction() as cursor:
            cursor.execute(PUBLISHED, (ids,))
            cursor.execute(FORGET, (KEPT_DAYS,))
        self._given.difference_update(ids)
        self.published += len(ids)
        return True
