"""Writes states down on a thread of its own, and asks for them: nobody waits for a store.

While the store is away the newest state of each session waits in memory.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import structlog

from models.errors import ConfigError, StorageError, StorageUnavailable
from models.saved_state import SavedState
from services.state_store import StateStore
from services.telemetry.logs import Throttle

BATCH = 100
LONGEST_TICK = 1.0
TICKS_PER_ROUND = 10
RETRY_SECONDS = 0.2
AWAY_SECONDS = 2.0
LOG_SECONDS = 10.0
# How long a worker that stops waits for a store that is away.
OUTAGE_SECONDS = 3.0
# States of sessions that ended longer ago are forgotten: looked for once a day, and not before all that are
# to run again do so.
STATE_DAYS = 90
PRUNE_SECONDS = 24 * 3600.0
FIRST_PRUNE_SECONDS = 3600.0

log = structlog.get_logger(__name__)
throttle = Throttle(LOG_SECONDS)


class StateKeeper:
    """Between sessions and the store of their states.

    `round_seconds` is how long it takes until every session was asked once. `reason` says why states are not
    written at the moment, None when they are.
    """

    def __init__(
        self, store: StateStore, round_seconds: float, outage_seconds: float = OUTAGE_SECONDS
    ) -> None:
        self.reason: str | None = None
        self.written = 0
        self._store = store
        self._round_seconds = round_seconds
        self._outage_seconds = outage_seconds
        self._handed_in: deque[SavedState] = deque()
        self._waiting: dict[str, SavedState] = {}
        self._ask: Callable[[float], None]
        self._present: Callable[[], Collection[str]] = tuple
        self._away_until = 0.0
        self._prune_at = time.monotonic() + FIRST_PRUNE_SECONDS
        self._stop = Event()
        self._given_up = Event()
        self._thread = Thread(target=self._run, name="state-keeper", daemon=True)

    def start(self, ask: Callable[[float], None], present: Callable[[], Collection[str]] = tuple) -> None:
        """Begin to write; `ask(share)` is to have this share of the sessions hand in their state.

        `present` gives the keys of all sessions that there are; states of others are forgotten in the end.
        """
        self._ask, self._present = ask, present
        self._thread.start()

    def stop(self, timeout: float) -> int:
        """Write what is waiting, for at most `timeout` seconds; return how many states were left.

        While the store is away its return is awaited for `outage_seconds` only.
        """
        self._stop.set()
        if self._thread.ident is not None:
            patience = min(timeout, self._outage_seconds)
            self._thread.join(patience)
            if self.reason is None:
                self._thread.join(timeout - patience)
            self._given_up.set()
        left = {state.session_key for state in self._handed_in} | self._waiting.keys()
        for key in sorted(left):
            log.error("state_left_behind", session=key, reason=self.reason)
        return len(left)

    def hand_in(self, state: SavedState) -> None:
        """Have a state written soon. Never waits; safe from every thread."""
        self._handed_in.append(state)

    def forget(self, session_key: str) -> None:
        """Write nothing of a session that was handed in before: another worker has taken it over."""
        self._waiting.pop(session_key, None)
        for state in self._handed_in.copy():
            if state.session_key == session_key:
                with suppress(ValueError):  # it is being written
                    self._handed_in.remove(state)

    def load(self, session_key: str) -> SavedState | None:
        """Return the newest state of a session, written or not.

        Raises StorageUnavailable, at once where the store was just found to be away; StorageConflict.
        """
        for state in reversed(self._handed_in.copy()):
            if state.session_key == session_key:
                return state
        if (waiting := self._waiting.get(session_key)) is not None:
            return waiting
        if time.monotonic() < self._away_until:
            raise StorageUnavailable(f"the states of sessions cannot be read now: {self.reason}")
        try:
            return self._store.load(session_key)
        except (StorageUnavailable, ConfigError) as error:
            self._note_away(str(error))
            raise StorageUnavailable(str(error)) from error

    def _run(self) -> None:
        tick = min(LONGEST_TICK, self._round_seconds / TICKS_PER_ROUND)
        asked_at = time.monotonic()
        while not self._stop.wait(tick):
            now = time.monotonic()
            try:
                self._ask((now - asked_at) / self._round_seconds)
                if self._write() and now >= self._prune_at:
                    self._prune_at = now + PRUNE_SECONDS
                    self._prune()
            except (
                Exception
            ):  # the loop of a thread: whatever is wrong with one round, the next one must come
                log.exception("state_round_failed")
            asked_at = now
        while not self._write() and not self._given_up.wait(RETRY_SECONDS):
            continue

    def _prune(self) -> None:
        """Forget the states of sessions that ended long ago."""
        before = datetime.now(UTC) - timedelta(days=STATE_DAYS)
        try:
            pruned = self._store.prune(before, self._present())
        except (StorageUnavailable, ConfigError) as error:
            log.warning("states_not_pruned", reason=str(error))
        else:
            log.info("states_pruned", states=pruned, days=STATE_DAYS)

    def _write(self) -> bool:
        """Write what waits; false when the store does not take it now."""
        while self._handed_in:
            state = self._handed_in[0]
            self._waiting[state.session_key] = state
            self._handed_in.popleft()  # only now: `load` finds it at every moment
        while self._waiting:
            batch = list(itertools.islice(self._waiting.values(), BATCH))
            try:
                self._save(batch)
            except (StorageUnavailable, ConfigError) as error:
                self._note_away(str(error))
                throttle.log(
                    log.warning, "states_not_written", waiting=len(self._waiting), reason=self.reason
                )
                return False
            for state in batch:
                self._waiting.pop(state.session_key, None)
        self.reason = None
        return True

    def _save(self, states: list[SavedState]) -> None:
        """Save states; leave out one that the store refuses for what it is."""
        try:
            self._store.save(states)
            self.written += len(states)
        except StorageUnavailable:
            raise
        except StorageError as error:
            if len(states) == 1:
                log.error(  # noqa: TRY400 — the reason says it all
                    "state_refused", session=states[0].session_key, reason=str(error)
                )
                return
            for state in states:
                self._save([state])

    def _note_away(self, reason: str) -> None:
        self.reason = reason
        self._away_until = time.monotonic() + AWAY_SECONDS
