"""Writes signals down on a thread of its own: new ones before they are given to the courier, ends soon after.

There is no artificial delay: what comes while a statement is under way goes with the next one.
"""

import time
from collections import deque
from collections.abc import Callable
from threading import Event, Thread

import structlog
from msgspec.structs import replace

from models.errors import ConfigError, Refused, StorageConflict, StorageUnavailable
from services.signals.left_behind import LeftBehind
from services.signals.marks import Marks
from services.signals.outbox import DUPLICATE_SIGNAL, SESSION_HALTED, MemoryOutbox, OutboxEntry
from services.signals.outcome import Outcome, failed
from services.signals.recorded import Recorded
from services.signals.signal_rows import FoundRow, Mark
from services.signals.signal_table import NOBODY
from services.telemetry.logs import Throttle

MOST_ROWS = 500
# Marks are written when no signal has come for the first time, and every so often all the same: a signal that
# comes meanwhile would have to wait for them. Seconds.
QUIET_SECONDS = 0.02
MARK_SECONDS = 0.25
# Seconds until an idle connection is used again, lest it go cold.
WARM_SECONDS = 0.5
RETRY_SECONDS = 0.25
LOG_SECONDS = 10.0

log = structlog.get_logger(__name__)
throttle = Throttle(LOG_SECONDS)


class OutboxWriter:
    """Moves entries from `arrived` to `recorded` by way of the table.

    `restore` makes an entry of a row that was found again. `reason` says why nothing is written at
    the moment, None when all is well.
    """

    def __init__(
        self,
        left_behind: LeftBehind,
        arrived: MemoryOutbox,
        marks: Marks,
        recorded: Recorded,
        restore: Callable[[FoundRow], OutboxEntry],
    ) -> None:
        self.reason: str | None = None
        self._left_behind = left_behind
        self._table = left_behind.table
        self._arrived = arrived
        self._marks = marks
        self._recorded = recorded
        self._restore = restore
        self._batch: deque[OutboxEntry] = deque()
        self._touches_at = 0.0
        self._marks_at = 0.0
        self._is_unsure = True
        self._stop = Event()
        self._thread = Thread(target=self._run, name="outbox-writer", daemon=True)

    def start(self) -> None:
        """Start the thread. Once in the life of a writer."""
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """Write what is there if the database answers; return at `deadline` (monotonic) at the latest."""
        self._stop.set()
        self._arrived.wake()
        if self._thread.ident is not None:
            self._thread.join(max(deadline - time.monotonic(), 0.0))
        self._table.close()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.is_set()
            try:
                self._step()
            except (StorageUnavailable, ConfigError) as error:
                self.reason = str(error)
                throttle.log(log.error, "outbox_not_written", key="outbox", reason=self.reason)
                self._stop.wait(RETRY_SECONDS)
            except Exception:  # the loop of a thread: whatever is wrong now, later signals need it
                self.reason = "the log says outbox_writer_failed"
                log.exception("outbox_writer_failed")
                self._stop.wait(RETRY_SECONDS)
            else:
                self.reason = None
        if self._batch or self._marks:
            log.error("outbox_left_unwritten", signals=len(self._batch), ends=len(self._marks))

    def _step(self) -> None:
        self._search()
        if not (self._batch or self._stop.is_set()):
            is_busy = self._recorded or self._marks or self._left_behind.is_soon_due()
            self._arrived.wait(QUIET_SECONDS if is_busy else WARM_SECONDS)
        self._batch.extend(self._arrived.take())
        is_quiet = not self._batch
        while self._batch:
            self._record([self._batch[index] for index in range(min(len(self._batch), MOST_ROWS))])
        if is_quiet or self._stop.is_set() or time.monotonic() >= self._marks_at:
            self._write_marks()
        if time.monotonic() >= self._touches_at:
            self._table.touch()
            self._touched()

    def _record(self, entries: list[OutboxEntry]) -> None:
        """Write the first entries of the batch and give them away; half of them if one cannot be written."""
        try:
            written = self._table.record(entries)
        except (StorageConflict, Refused) as error:
            if len(entries) > 1:
                self._record(entries[: len(entries) // 2])
                return
            [entry] = entries
            log.warning("signal_not_recorded", signal_id=entry.signal.signal_id, reason=str(error))
            self._pass_on(1, [_refused(entry, f"not_recorded: {error}")])
            return
        self._touched()
        if len(written) < len(entries):
            self._pass_on(len(entries), self._without_known(entries, written))
        else:
            self._pass_on(len(entries), entries)

    def _pass_on(self, count: int, entries: list[OutboxEntry]) -> None:
        self._recorded.give(entries)
        for _ in range(count):
            self._batch.popleft()

    def _without_known(self, entries: list[OutboxEntry], written: set[str]) -> list[OutboxEntry]:
        """Settle entries whose row was there before: the same decision, or our own unconfirmed writing."""
        self._write_marks()
        known = [entry.signal.signal_id for entry in entries if entry.signal.signal_id not in written]
        rows = self._table.find(known)
        settled = (
            entry if entry.signal.signal_id in written else self._settle(entry, rows[entry.signal.signal_id])
            for entry in entries
        )
        return [entry for entry in settled if entry is not None]

    def _settle(self, entry: OutboxEntry, row: FoundRow) -> OutboxEntry | None:
        is_ours = row.created_at == entry.created_at  # written, and we were not told so
        outcome = row.outcome(time.monotonic())
        if outcome is not None:
            return replace(entry, settled=outcome if is_ours else _told_before(outcome))
        if row.worker == NOBODY or row.fence < entry.fence:
            self._table.free(row.session_key, entry.fence)  # from who held the session before
            self._left_behind.look_again()
            return None
        if row.worker != self._table.worker:
            return _refused(entry, DUPLICATE_SIGNAL)
        if row.signal_id in self._recorded:
            return None  # on its way already: its end will be told
        return entry if is_ours else self._restore(row)

    def _write_marks(self) -> None:
        while marks := self._marks.take(MOST_ROWS):
            try:
                self._mark(marks)
            except BaseException:
                self._marks.give_back(marks)
                raise
            self._touched()
        self._marks_at = time.monotonic() + MARK_SECONDS

    def _mark(self, marks: list[Mark]) -> None:
        """Write marks; one that cannot be written is left out, and its row stays unfinished."""
        try:
            self._table.mark(marks)
        except StorageConflict as error:
            if len(marks) == 1:
                log.warning("mark_not_written", signal_id=marks[0].signal_id, reason=str(error))
                return
            self._mark(marks[: len(marks) // 2])
            self._mark(marks[len(marks) // 2 :])

    def _search(self) -> None:
        """Take over what other runs left unfinished of sessions that are this worker's."""
        if not self._left_behind.is_due():
            return
        gone, held = self._left_behind.find()
        rows = self._find_own()
        if gone and held:
            self._is_unsure = True
            rows += self._table.adopt(gone, held)
        if rows:
            log.warning("signals_found_unfinished", signals=len(rows), runs=len(gone))
            self._give_found(rows)
        self._is_unsure = False
        self._left_behind.looked()

    def _give_found(self, rows: list[FoundRow]) -> None:
        self._is_unsure = True  # until they are given
        halted = self._table.halted({row.session_key for row in rows})
        entries = [self._restore(row) for row in rows]
        self._recorded.give(
            [
                replace(entry, refusal=SESSION_HALTED) if entry.signal.session_key in halted else entry
                for entry in entries
            ]
        )

    def _find_own(self) -> list[FoundRow]:
        """Return rows of this run that it does not know of: an adoption that was not confirmed."""
        if not self._is_unsure:
            return []
        self._write_marks()
        waiting = {entry.signal.signal_id for entry in self._batch}
        rows = self._table.own()
        return [row for row in rows if row.signal_id not in waiting and row.signal_id not in self._recorded]

    def _touched(self) -> None:
        self._touches_at = time.monotonic() + WARM_SECONDS


def _told_before(outcome: Outcome) -> Outcome:
    """Return an outcome as it is told to a session that made the same decision again."""
    return replace(outcome, report=replace(outcome.report, told_before=True))


def _refused(entry: OutboxEntry, reason: str) -> OutboxEntry:
    outcome = failed(entry.signal, "refused", reason, 0, time.monotonic())
    return replace(entry, settled=outcome)
