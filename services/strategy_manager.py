"""The sessions: which there are, how they start and stop, and who is told of which symbol.

Shared by the control thread, which starts and stops, and the courier's threads, which stop or halt a session
by the gateway's word. Building a session happens outside the lock; only the book-keeping is inside.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock
from typing import Any

import structlog

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

log = structlog.get_logger(__name__)


class WaitingSession:
    """A session without a strategy: being built, PENDING, in ERROR, or HALTED before it was built."""

    def __init__(self, record: SessionRecord) -> None:
        self.identity = record.identity
        self.state = record.state
        self.reason = record.reason

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
        if event.session_id is not None:
            stopped = self.stop_session(event.session_id)
        elif event.strategy_id is not None:
            stopped = self.stop_sessions(event.symbol, event.strategy_id)
        else:
            stopped = self.stop_sessions(event.symbol)
        return "stopped" if stopped else "nothing_to_stop"

    def start_session(
        self,
        symbol: str,
        strategy_id: str | None = None,
        session_id: str | None = None,
        asset_type: AssetType = "stock",
    ) -> str:
        """Start a session; return `started`, `duplicate` (it is there), `pending`, `halted` or `error`."""
        strategy_id = strategy_id or default_strategy_id(symbol)
        with self._lock:
            key = self._key(symbol, strategy_id, session_id)
            held = self._sessions.get(key)
            if held is not None and held.state is SessionState.PENDING:
                return "pending"  # it starts with its state, once what it waits for answers
            if held is not None and held.state is not SessionState.ERROR:
                return "duplicate"
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
            if held is not None and held.state is not SessionState.PENDING:
                return
            self._sessions[key] = WaitingSession(record)
        if record.state is SessionState.HALTED:
            self.halts.add(key, record.reason or OUTCOME_UNKNOWN)
        self._host.changed(key)

    def stop_session(self, session_id: str) -> int:
        """Stop the session with this session id, or key; return how many were stopped."""
        return self._stop(lambda identity: session_id in {identity.session_id, identity.key})

    def stop_sessions(self, symbol: str, strategy_id: str | None = None) -> int:
        """Stop every session on a symbol, or every one of a strategy there; return how many."""
        return self._stop(
            lambda identity: identity.symbol == symbol and strategy_id in {None, identity.strategy_id}
        )

    def stop_all(self) -> int:
        """Stop every session; return how many. `on_stop` runs on the data thread soon."""
        return self._stop(lambda _: True)

    def report(self, key: str, report: ExecutionReport) -> None:
        """Tell a session the outcome of one of its signals."""
        self._states.answer(key, report)

    def halt_session(self, key: str, reason: str) -> None:
        """Tell a session nothing more until a person looked: the outcome of an order is unknown.

        Holds for the next session of this key, too, where this one is stopped or was not there yet.
        """
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
        with self._lock:
            return Counter(session.state.value for session in self._sessions.values())

    def _key(self, symbol: str, strategy_id: str, session_id: str | None) -> str:
        if session_id is not None:
            return session_id
        qualified = f"{strategy_id}@{symbol}"
        held = self._sessions.get(strategy_id)
        if qualified not in self._sessions and (held is None or held.identity.symbol == symbol):
            return strategy_id
        return qualified

    def _begin(self, identity: SessionIdentity, *, known: bool) -> str:
        waiting = WaitingSession(SessionRecord(identity=identity, state=SessionState.STARTING))
        with self._lock:
            self._sessions[identity.key] = waiting
        if (reason := self.halts.reason(identity.key)) is not None:
            waiting.state, waiting.reason = SessionState.HALTED, reason
            log.warning("session_halted_before", session=identity.key, reason=reason)
            outcome = "halted"
        else:
            outcome = self._build(waiting, known=known)
            if (reason := self.halts.reason(identity.key)) is not None:  # meanwhile
                self.halt_session(identity.key, reason)
        self._host.changed(identity.key)
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
        log.info(
            "session_started",
            session=identity.key,
            strategy=identity.strategy_id,
            symbol=identity.symbol,
            state_restored=session.memory.restored,
        )
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
            self._host.changed(session.identity.key)
        return len(stopping)
