"""The sessions: which there are, how they start and stop, and who is told of which symbol.

Shared by the control thread, which starts and stops, and the courier's threads, which stop or halt a session
by the gateway's word. Building a session happens outside the lock; only the book-keeping is inside.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any

import structlog

from models.errors import StorageUnavailable
from models.execution import ExecutionReport
from models.market_data import ControlEvent
from models.session import AssetType, Lifecycle, SessionIdentity, SessionRecord, SessionState
from services.halts import Halts
from services.routing import Router
from services.session import ENDED, Session, SessionHost
from services.session_builder import NotBuilt, SessionBuilder
from services.session_description import describe_identity
from services.state_desk import StateDesk
from services.strategy_source import StrategySource, default_strategy_id
from services.turn import Errand, Turn
from services.warm_up import join

OUTCOME_UNKNOWN = "the outcome of an order is unknown"
# States that end by themselves: then the session starts.
WAITING = {SessionState.PENDING, SessionState.STANDBY}

log = structlog.get_logger(__name__)


class WaitingSession:
    """A session without a strategy: being built, PENDING, STANDBY, in ERROR, HALTED before it was built."""

    def __init__(self, record: SessionRecord) -> None:
        self.identity = record.identity
        self.state = record.state
        self.reason = record.reason

    def claim(self, claim: Callable[[str], str | None]) -> bool:
        """Take the session for this worker; false, and its state says why, where that cannot be done."""
        try:
            owner = claim(self.identity.key)
        except StorageUnavailable as error:
            self.state, self.reason = SessionState.PENDING, str(error)
            return False
        if owner is not None:
            self.state, self.reason = SessionState.STANDBY, runs_on(owner)
        return owner is None

    def describe(self) -> dict[str, Any]:
        """Return what /sessions shows, in the names of the wire."""
        return describe_identity(self.identity, self.state, self.reason)


class StrategyManager:
    """Starts, finds and stops sessions, and keeps the routing table equal to those that run.

    What is in `halts` is not started: lift it first.
    """

    def __init__(
        self,
        source: StrategySource,
        router: Router,
        host: SessionHost,
        data_turn: Turn,
        states: StateDesk,
    ) -> None:
        self._router = router
        self._host = host
        self._data_turn = data_turn
        self._states = states
        self._builder = SessionBuilder(source, states, host)
        self.halts = Halts()
        self._lock = Lock()
        self._sessions: dict[str, Session | WaitingSession] = {}

    def apply(self, event: ControlEvent) -> str:
        """Do what a control event asks; return what came of it, in one word fit for a metric."""
        if event.action == "subscribe":
            return self.start_session(event.symbol, event.strategy_id, event.session_id, event.type)
        key, symbol, strategy = event.session_id, event.symbol, event.strategy_id
        stopped = self.stop_sessions(symbol, strategy) if key is None else self.stop_session(key)
        return "stopped" if stopped else "nothing_to_stop"

    def start_session(
        self,
        symbol: str,
        strategy_id: str | None = None,
        session_id: str | None = None,
        asset_type: AssetType = "stock",
    ) -> str:
        """Start a session; return what came of it.

        `started`, `duplicate` (it is there), `conflict` (its key is another session's), `standby` (another
        worker has it), `pending`, `halted`, `error`.
        """
        strategy_id = strategy_id or default_strategy_id(symbol)
        with self._lock:
            key = _key(self._sessions, symbol, strategy_id, session_id)
            held = self._sessions.get(key)
            if held is not None and held.state is not SessionState.ERROR:
                return _what_is_there(held, symbol, strategy_id)
        identity = SessionIdentity(
            key=key,
            symbol=symbol,
            asset_type=asset_type,
            strategy_id=strategy_id,
            session_id=session_id,
            started_at=datetime.now(UTC),
        )
        return self._begin(identity, known=False)

    def adopt(self, identity: SessionIdentity) -> str:
        """Start a session that was known before, as `start_session` does, but never without its state."""
        return self._begin(identity, known=True)

    def hold(self, record: SessionRecord) -> None:
        """Keep a session that was known before without running it, unless it is there and does not wait."""
        key = record.identity.key
        with self._lock:
            held = self._sessions.get(key)
            if held is not None and held.state not in WAITING:
                return
            self._sessions[key] = WaitingSession(record)
        if record.state is SessionState.HALTED:
            self.halts.add(key, record.reason or OUTCOME_UNKNOWN)
        self._note(record.identity, record.state)

    def stand_by(self, key: str, reason: str) -> None:
        """Leave a session to the worker that took it over: what it decides from now on goes nowhere."""
        with self._lock:
            held = self._sessions.get(key)
            if held is None or held.state is SessionState.STANDBY:
                return
            standby = SessionRecord(identity=held.identity, state=SessionState.STANDBY, reason=reason)
            self._sessions[key] = WaitingSession(standby)
        self.halts.forget(key)
        if isinstance(held, Session):
            if held.state not in ENDED:
                held.state, held.reason = SessionState.STANDBY, reason
            self._states.forsake(held)
            held.unroute()
            self._host.post(held, Lifecycle("stop", datetime.now(UTC)))

    def stop_session(self, session_id: str) -> int:
        """Stop the session with this session id, or key; return how many were stopped."""
        return self._stop(lambda identity: session_id in {identity.session_id, identity.key})

    def stop_sessions(self, symbol: str | None = None, strategy_id: str | None = None) -> int:
        """Stop every session, or those on a symbol, or of a strategy; return how many.

        `on_stop` runs on the data thread soon.
        """
        return self._stop(
            lambda identity: symbol in {None, identity.symbol} and strategy_id in {None, identity.strategy_id}
        )

    def report(self, key: str, report: ExecutionReport) -> None:
        """Tell a session the outcome of one of its signals."""
        if not self._stands_by(key):  # else its owner finds out for itself
            self._states.answer(key, report)

    def halt_session(self, key: str, reason: str) -> None:
        """Tell a session nothing more until a person looked: the outcome of an order is unknown.

        Holds for the next session of this key, too, where this one is stopped or was not there yet.
        """
        if self._stands_by(key):
            return
        self.halts.add(key, reason)
        session = self._sessions.get(key)
        if isinstance(session, Session):
            self._host.post(session, Errand(lambda halted: halted.end(SessionState.HALTED, reason)))
        elif session is not None and session.state is not SessionState.STARTING:
            session.state, session.reason = SessionState.HALTED, reason
            self._host.changed(key)

    def sessions(self) -> list[dict[str, Any]]:
        """Describe every session, in the names of the wire."""
        with self._lock:
            held = list(self._sessions.values())
        return [session.describe() for session in held]

    def records(self) -> dict[str, SessionRecord]:
        """Return which sessions there are, where they stand and why, by their keys."""
        with self._lock:
            return {
                key: SessionRecord(identity=session.identity, state=session.state, reason=session.reason)
                for key, session in self._sessions.items()
            }

    def count_states(self) -> Counter[str]:
        """Return how many sessions are in each state."""
        return Counter(record.state.value for record in self.records().values())

    def _stands_by(self, key: str) -> bool:
        held = self._sessions.get(key)
        return held is not None and held.state is SessionState.STANDBY

    def _begin(self, identity: SessionIdentity, *, known: bool) -> str:
        waiting = WaitingSession(SessionRecord(identity=identity, state=SessionState.STARTING))
        with self._lock:
            self._sessions[identity.key] = waiting
        if not waiting.claim(self._host.claim):
            outcome = waiting.state.lower()
        elif (reason := self.halts.reason(identity.key)) is not None:
            waiting.state, waiting.reason = SessionState.HALTED, reason
            log.warning("session_halted_before", session=identity.key, reason=reason)
            outcome = "halted"
        else:
            outcome = self._build(waiting, known=known)
            if (reason := self.halts.reason(identity.key)) is not None:  # meanwhile
                self.halt_session(identity.key, reason)
        self._note(identity, waiting.state)
        return outcome

    def _build(self, waiting: WaitingSession, *, known: bool) -> str:
        identity = waiting.identity
        session = self._builder.build(identity, known=known)
        if isinstance(session, NotBuilt):
            waiting.state, waiting.reason = session.state, session.reason
            return "pending" if session.state is SessionState.PENDING else "error"
        with self._lock:
            session.hand_over(self._data_turn)
            if self._sessions.get(identity.key) is not waiting:  # stopped by the gateway's word meanwhile
                self._host.post(session, Lifecycle("stop", identity.started_at))
                return "stopped"
            self._sessions[identity.key] = session
        joined = Errand(lambda joining: join(joining, self._router, self._data_turn), many_calls=True)
        self._host.post(session, joined)
        self._states.enter(session)
        _log_start(session)
        return "started"

    def _stop(self, chosen: Callable[[SessionIdentity], bool]) -> int:
        with self._lock:
            stopping = [session for session in self._sessions.values() if chosen(session.identity)]
            for session in stopping:
                del self._sessions[session.identity.key]
        for session in stopping:
            log.info("session_stopping", session=session.identity.key)
            if isinstance(session, Session):
                if session.state not in ENDED:
                    session.state = SessionState.STOPPING
                self._host.post(session, Lifecycle("stop", datetime.now(UTC)))
                self._states.leave(session)
            self._note(session.identity, session.state)
        return len(stopping)

    def _note(self, identity: SessionIdentity, state: SessionState) -> None:
        """Have a change written down, unless another worker has the session: then that is its to do."""
        if state is not SessionState.STANDBY:
            self._host.changed(identity.key)


def _log_start(session: Session) -> None:
    log.info(
        "session_started",
        session=session.identity.key,
        strategy=session.identity.strategy_id,
        symbol=session.identity.symbol,
        state_restored=session.memory.restored,
    )


def runs_on(worker: str) -> str:
    """Return the reason of a session that stands by."""
    return f"runs on worker {worker}"


def _key(
    held: Mapping[str, Session | WaitingSession], symbol: str, strategy_id: str, session_id: str | None
) -> str:
    """Return the key of a session: its id, or its strategy's, with the symbol where that one is taken."""
    if session_id is not None:
        return session_id
    qualified, same = f"{strategy_id}@{symbol}", held.get(strategy_id)
    if qualified not in held and (same is None or same.identity.symbol == symbol):
        return strategy_id
    return qualified


def _what_is_there(held: Session | WaitingSession, symbol: str, strategy_id: str) -> str:
    """Say what a session is to one that is wanted under its key; warn where two senders use one id."""
    identity = held.identity
    if (identity.symbol, identity.strategy_id) != (symbol, strategy_id):
        log.warning(
            "subscription_ignored",
            session=identity.key,
            held=f"{identity.strategy_id} on {identity.symbol}",
            wanted=f"{strategy_id} on {symbol}",
        )
        return "conflict"
    # One that waits starts with its state, once what it waits for is there.
    return held.state.lower() if held.state in WAITING else "duplicate"
