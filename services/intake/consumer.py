"""The loop of the intake: take a batch, store it, write down what was refused, and only then commit.

While one batch is being stored, the next is read and checked, and waits right behind it: PostgreSQL and
Python work at the same time. Batches are committed in their order. One that cannot be stored holds up
everything behind it, as long as MAX_RETRIES allows; then the consumer ends and says so. Nothing is ever
skipped.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import structlog

from models.errors import StorageConflict, StorageUnavailable
from services.intake.batch import Batch, portions
from services.intake.counters import IntakeCounters
from services.intake.discovered import DiscoveredReader
from services.intake.messages import Message, MessagePublisher, MessageSource, Place
from services.intake.pace import Ending, Pace, Vigil
from services.intake.refusals import STRATEGY_DEAD_LETTERS, Refusals
from services.intake.repository import BulkResult, StrategyRepository
from services.telemetry.health import Heartbeat

POLL_SECONDS = 0.5
AHEAD_SECONDS = 0.02
FLUSH_SECONDS = 10.0
CLOSE_SECONDS = 10.0
LAG_SECONDS = 5.0
LONGEST_PAUSE = 30.0

log = structlog.get_logger(__name__)


class IntakeConsumer:
    """Takes discovered strategies from a source into the catalogue, on the thread that calls `run`.

    `time_database` is told the seconds that each batch took to store.
    """

    def __init__(  # noqa: PLR0913 — the ends of four ways meet here
        self,
        source: MessageSource,
        publisher: MessagePublisher,
        reader: DiscoveredReader,
        repository: StrategyRepository,
        *,
        pace: Pace,
        stop: Event,
        counters: IntakeCounters | None = None,
        time_database: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.counters = counters or IntakeCounters()
        self.heartbeat = Heartbeat()
        self.trouble: str | None = None
        self._source = source
        self._publisher = publisher
        self._refusals = Refusals(publisher, STRATEGY_DEAD_LETTERS)
        self._reader = reader
        self._repository = repository
        self._pace = pace
        self._stop = stop
        self._time_database = time_database
        self._waiting: deque[Batch] = deque()  # read and checked; the first may be being stored
        self._lag_at = 0.0

    @property
    def source_reason(self) -> str | None:
        """Why no messages can be had now, or None."""
        return self._source.reason

    def run(self) -> Ending:
        """Work until there is a reason to end; give back what is in hand, and return that reason.

        Raises ConfigError when the database has no tables for this version.
        """
        try:
            with ThreadPoolExecutor(1, "intake-writer") as writer:
                ending = self._work(writer)
        finally:
            self._publisher.close(FLUSH_SECONDS)
            self._source.close(CLOSE_SECONDS)
        log.info("intake_ended", ending=ending, messages=self.counters.messages, **self.counters.outcomes)
        return ending

    def _work(self, writer: ThreadPoolExecutor) -> Ending:
        vigil = Vigil(self._pace)
        while not self._stop.is_set() or self._has_begun():
            self.heartbeat.beat()
            if not self._waiting:
                self._check(self._source.poll(self._pace.batch_size, POLL_SECONDS, vigil.gather_seconds()))
            if self._waiting:
                vigil.heard()
                if not self._finish(self._waiting.popleft(), writer):
                    return Ending.STOPPED if self._stop.is_set() else Ending.FAILED
            self._look_around()
            if not self._waiting and (ending := vigil.ending(self._source.reason)) is not None:
                return ending
        return Ending.STOPPED

    def _has_begun(self) -> bool:
        return bool(self._waiting) and self._waiting[0].storing is not None

    def _check(self, messages: list[Message]) -> None:
        self._waiting.extend(Batch(portion, self._reader) for portion in portions(messages))

    def _finish(self, batch: Batch, writer: ThreadPoolExecutor) -> bool:
        """Bring a batch to its end, trying again as often as is allowed; false when it has none."""
        self._begin(batch, writer)
        self._read_ahead(batch)
        if self._waiting and not self._stop.is_set():
            self._begin(self._waiting[0], writer)
        with structlog.contextvars.bound_contextvars(batch=batch.id):
            for attempt in range(self._pace.max_retries + 1):
                self.heartbeat.beat()
                try:
                    self._settle(batch)
                except StorageUnavailable as error:
                    self.trouble = str(error)
                    log.warning("intake_batch_failed", attempt=attempt, reason=self.trouble)
                else:
                    self.trouble = None
                    self._count(batch)
                    return True
                if attempt < self._pace.max_retries:
                    batch = self._paused(batch, attempt)
                if self._stop.is_set():
                    break
            log.error("intake_batch_given_back", messages=len(batch.messages), reason=self.trouble)
        return False

    def _begin(self, batch: Batch, writer: ThreadPoolExecutor) -> None:
        """Have a batch stored on the other thread, after those before it."""
        if batch.storing is None:
            batch.storing = writer.submit(self._store, batch)

    def _read_ahead(self, batch: Batch) -> None:
        """Read and check the next messages where this batch is full, so that more are likely to wait."""
        if len(batch.messages) >= self._pace.batch_size and not self._waiting:
            self._check(self._source.poll(self._pace.batch_size, 0.0, AHEAD_SECONDS))

    def _store(self, batch: Batch) -> BulkResult:
        started = time.monotonic()
        with structlog.contextvars.bound_contextvars(batch=batch.id):  # on the other thread, too
            result = self._repository.write(batch.staged)
        self._time_database(time.monotonic() - started)
        return result

    def _settle(self, batch: Batch) -> None:
        """Go on with a batch from where it is. Raises StorageUnavailable."""
        storing, batch.storing = batch.storing, None
        if batch.result is None:
            batch.stored(self._store(batch) if storing is None else storing.result())
        for message, reason, detail in batch.refused[batch.published :]:
            self._refusals.add(message, reason, detail)
            batch.published += 1
        try:
            self._publisher.flush(FLUSH_SECONDS)
        except StorageConflict as error:  # a dead letter that no broker takes must not hold up the rest
            log.exception("intake_dead_letter_refused", reason=str(error))
        self._source.commit(batch.messages)

    def _paused(self, batch: Batch, attempt: int) -> Batch:
        """Wait before another attempt; what went to another consumer meanwhile is left out of it."""
        self.counters.retries += 1
        pause = min(LONGEST_PAUSE, 2.0**attempt) * random.uniform(0.5, 1.0)  # noqa: S311 — no secret
        in_hand = [message for each in (batch, *self._waiting) for message in each.messages]
        still = {each.place for each in self._source.hold(in_hand, pause)}
        batch, *waiting = (self._ours(each, still) for each in (batch, *self._waiting))
        self._waiting = deque(each for each in waiting if each.messages)
        return batch

    def _ours(self, batch: Batch, still: set[Place]) -> Batch:
        mine = [each for each in batch.messages if each.place in still]
        if len(mine) == len(batch.messages):
            return batch
        left = Batch(mine, self._reader)
        left.id = batch.id
        return left

    def _count(self, batch: Batch) -> None:
        counters, result = self.counters, batch.result or BulkResult()
        counters.batches += 1
        refused = len(batch.refused)
        taken = {"inserted": result.inserted, "updated": result.updated}
        unchanged = len(batch.messages) - refused - sum(taken.values())
        counters.outcomes.update(taken | {"unchanged": unchanged, "refused": refused})
        counters.refusals.update(each.reason for each in batch.refused)
        log.info("intake_batch", messages=len(batch.messages), **taken, unchanged=unchanged, refused=refused)

    def _look_around(self) -> None:
        now = time.monotonic()
        if now >= self._lag_at:
            self._lag_at = now + LAG_SECONDS
            self.counters.lag = self._source.lag()
            self.counters.lost = self._source.lost
