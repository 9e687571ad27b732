"""The counter between sessions and where their states are kept: takes states in, gives them back."""

from collections import deque
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from threading import Event, RLock

import structlog
from msgspec.structs import replace

from models.errors import ConfigError, StorageConflict, StorageUnavailable, StrategyTimedOut
from models.execution import ExecutionReport
from models.saved_state import SavedState, encode_state
from models.session import SessionIdentity, SessionState
from services.sealed_session import SealedSession
from services.session import Session
from services.signals.fence import Fence, Unfenced
from services.state_capture import capture
from services.state_history import Past, PastSignal, SignalHistory
from services.state_keeper import StateKeeper
from services.state_memory import NEVER_SAVED
from services.state_recall import Recollection
from services.state_rota import Rota
from services.turn import Errand, Letter

UNCLAIMED_REPORTS = 10_000
PATIENCE_SECONDS = 2.0
# What does not change is saved so often all the same: the time of a last state tells when a session ended.
DAY = timedelta(days=1)

log = structlog.get_logger(__name__)


class StateDesk:
    """Knows every session that has a strategy: saves their states, a share at a time, and finds them again.

    A session that left is known until its last signal has its answer, so that its position is saved as it
    was in the end. Answers that come before their session does wait for it. `post` has the data thread
    deal with a letter soon; what is posted to one session is posted under the lock, so that an answer is
    either in what is saved of it or told to the next one.
    """

    def __init__(
        self,
        keeper: StateKeeper,
        history: SignalHistory,
        post: Callable[[Session, Letter], None],
        fence: Fence | None = None,
    ) -> None:
        self._keeper = keeper
        self._history = history
        self._post = post
        self._fence = fence or Unfenced()
        self._rota = Rota()
        self._present: dict[str, Session] = {}
        self._leaving: dict[str, Session] = {}
        self._unclaimed: deque[tuple[str, ExecutionReport]] = deque(maxlen=UNCLAIMED_REPORTS)
        self._lock = RLock()

    @property
    def reason(self) -> str | None:
        """Why states are not written at the moment; None when they are."""
        return self._keeper.reason

    def start(self, present: Callable[[], Collection[str]] = tuple) -> None:
        """Begin to save; `present` gives the keys of all sessions, those without a strategy too."""
        self._keeper.start(self._ask, lambda: {*present(), *self.keys()})

    def stop(self, timeout: float) -> int:
        """Write what was handed in, for at most `timeout` seconds; return how many states were left."""
        return self._keeper.stop(timeout)

    def recollect(self, identity: SessionIdentity, *, known: bool) -> Recollection:
        """Return what is known of a session's past. Waits until an earlier one of its key is saved.

        Raises StorageUnavailable where that cannot be known now. Only without a complete history a session
        that is not `known` to have run starts fresh then.
        """
        self._dismiss(identity.key)
        fence = self._fence.number(identity.key)
        saved, reason = None, NEVER_SAVED
        try:
            saved = self._keeper.load(identity.key)
        except StorageConflict as error:
            reason = str(error)
        except StorageUnavailable as error:
            if known or self._history.is_complete:
                raise
            return Recollection(reason=str(error), fence=fence)
        if saved is not None:
            fence = max(fence, saved.fence)
            saved = self._take_over(saved, fence)
        if saved is not None and saved.symbol != identity.symbol:
            reason = f"what was saved under this key is of {saved.symbol}"
            saved = None
        asked = Past(session_key=identity.key, symbol=identity.symbol, fence=fence)
        if saved is not None:
            asked = replace(asked, open_signals=saved.open_signals, moment=saved.saved_at)
        try:
            signals = self._history.since(asked)
        except ConfigError as error:
            raise StorageUnavailable(str(error)) from error
        found = {signal.signal_id for signal in signals}
        with self._lock:
            reports = [report for key, report in self._unclaimed if key == identity.key]
        signals += [
            PastSignal(each.signal_id, each.action, each.quantity, each)
            for each in reports
            if each.signal_id in asked.open_signals and each.signal_id not in found
        ]
        return Recollection(saved, tuple(signals), reason, fence)

    def enter(self, session: Session) -> None:
        """Save this session from now on, and tell it what was answered before it was there."""
        key = session.identity.key
        with self._lock:
            self._present[key] = session
            reports = [report for owner, report in self._unclaimed if owner == key]
            if reports:
                others = (each for each in self._unclaimed if each[0] != key)
                self._unclaimed = deque(others, maxlen=UNCLAIMED_REPORTS)
            for report in reports:
                self._post(session, report)

    def leave(self, session: Session) -> None:
        """Save a session that was told to stop once more, after its `on_stop`."""
        with self._lock:
            self._present.pop(session.identity.key, None)
            self._leaving[session.identity.key] = session
        self._post(session, Errand(self._save_last))

    def answer(self, key: str, report: ExecutionReport) -> None:
        """Take the answer to a signal: for a session that is there, that left, or that is still to come."""
        with self._lock:
            session = self._present.get(key) or self._leaving.get(key)
            if session is None:
                self._unclaimed.append((key, report))
                return
            self._post(session, report)  # before anyone can have it saved for the last time
            if key in self._leaving:
                self._post(session, Errand(self._save_last))

    def save(self, session: Session, done: Callable[[], None] = lambda: None) -> None:
        """Hand in what changed of a session. On the thread that may call it.

        A session that ended by itself is not asked for its state: the last one stays, its position does not.
        A sealed one answers later; `done` is called once it is handed in. Raises StrategyTimedOut; whatever
        else `get_state` does wrong is counted and logged.
        """
        if session.state is SessionState.STANDBY:
            done()
            return
        memory = session.memory
        state, last_bars = (memory.saved.state, memory.saved.last_bars) if memory.saved else (None, {})
        if isinstance(session, SealedSession) and session.reason is None:
            before, now = (state, last_bars), memory.last_bars() if memory.feeds else last_bars
            session.ask_state(lambda s: self._keep(session, *(before if s is None else (s, now)), done))
            return
        if session.reason is None:
            try:
                state = encode_state(session.strategy.get_state())
                last_bars = memory.last_bars() if memory.feeds else last_bars
            except StrategyTimedOut:
                raise
            except BaseException as error:  # noqa: BLE001 — an author's code: even SystemExit stays in it
                session.complain("state_not_saved", error)
            if session.reason is not None:
                return  # quarantined meanwhile: this thread came back too late
        self._keep(session, state, last_bars, done)

    def _keep(
        self, session: Session, state: str | None, last_bars: dict[str, datetime], done: Callable[[], None]
    ) -> None:
        memory, captured = session.memory, capture(session, state, last_bars)
        if not captured.says_the_same(memory.saved) or captured.is_later_by(DAY, memory.saved):
            memory.saved = captured
            self._keeper.hand_in(captured)
        done()

    def forsake(self, session: Session) -> None:
        """Save nothing more of a session that another worker has taken over."""
        key = session.identity.key
        with self._lock:
            for held in (self._present, self._leaving):
                if held.get(key) is session:
                    del held[key]
        self._keeper.forget(key)

    def keys(self) -> set[str]:
        """Return the keys of the sessions that are there, or left and have no answer to a signal yet."""
        with self._lock:
            return {*self._present, *self._leaving}

    def _take_over(self, saved: SavedState, fence: int) -> SavedState:
        """Have a state saved under the number of now, so that a former holder can save nothing any more."""
        if saved.fence < fence:
            saved = replace(saved, fence=fence)
            self._keeper.hand_in(saved)
        return saved

    def _save_last(self, session: Session) -> None:
        self.save(session)
        if not session.memory.open_signals:
            with self._lock:
                if self._leaving.get(session.identity.key) is session:
                    del self._leaving[session.identity.key]

    def _dismiss(self, key: str) -> None:
        """Have an earlier session of this key saved as it is now, and know it no longer."""
        saved = Event()

        def save(session: Session) -> None:
            try:
                self.save(session, saved.set)
            except StrategyTimedOut:
                saved.set()
                raise

        with self._lock:
            former = self._leaving.pop(key, None) or self._present.pop(key, None)
            if former is None:
                return
            self._post(former, Errand(save))
        if not saved.wait(PATIENCE_SECONDS):
            log.warning("state_of_former_session_not_awaited", session=key)

    def _ask(self, share: float) -> None:
        with self._lock:
            present = dict(self._present)
        for key in self._rota.next(present, share):
            if present[key].state is not SessionState.QUARANTINED:
                self._post(present[key], Errand(self.save))
