"""Makes a session: finds its strategy, gives it back what was saved of it, and calls its `on_start`."""

import structlog
from msgspec import Struct

from models.errors import StorageUnavailable, StrategyError, StrategyQuarantined, StrategyTimedOut
from models.position import Position
from models.session import SessionIdentity, SessionState
from services.sealed_session import SealedSession
from services.session import Session, SessionHost, explain
from services.starter import Starter
from services.state_desk import StateDesk
from services.state_history import carry_on
from services.state_recall import Recollection, rebuild
from services.strategy_source import Recipe, StrategySource
from services.turn import Turn
from strategies.dynamic_strategy import DynamicStrategy

log = structlog.get_logger(__name__)


class NotBuilt(Struct, frozen=True):
    """Why there is no session: PENDING where a source is away, ERROR or QUARANTINED by its own code."""

    state: SessionState
    reason: str


class SessionBuilder:
    """Builds one session at a time, for the control thread; the author's code runs on the starter's."""

    def __init__(self, source: StrategySource, states: StateDesk, host: SessionHost) -> None:
        self._source = source
        self._states = states
        self._host = host
        self._starter = Starter(host.deadline_max_ms / 1000)
        self._starting: Session | None = None

    def build(self, identity: SessionIdentity, *, known: bool) -> Session | NotBuilt:
        """Return a session that has started and is told of nothing yet, or why there is none.

        One that is `known` to have run never starts without its state.
        """
        self._starting = None
        try:
            recipe = self._source.find(identity.strategy_id, identity.symbol)
            past = self._states.recollect(identity, known=known)
            return self._starter.run(lambda: self._start(identity, recipe, past))
        except StorageUnavailable as error:
            log.warning("session_pending", session=identity.key, reason=explain(error))
            return NotBuilt(SessionState.PENDING, explain(error))
        except BaseException as error:  # an author's code: even SystemExit stays in it
            timed_out = isinstance(error, StrategyTimedOut)
            barred = timed_out or isinstance(error, StrategyQuarantined)
            failure = NotBuilt(SessionState.QUARANTINED if barred else SessionState.ERROR, explain(error))
            if self._starting is not None:
                self._starting.state = failure.state  # where it still runs, its signals are refused
                if timed_out:
                    self._starting.withdraw()
            unexpected = None if isinstance(error, StrategyError) else error
            log.error(  # noqa: TRY400 — no traceback for what its author is told in a sentence
                "session_not_started", session=identity.key, reason=failure.reason, exc_info=unexpected
            )
            return failure

    def _start(self, identity: SessionIdentity, recipe: Recipe, past: Recollection) -> Session:
        """Make the strategy as it was saved, and call `on_start`. On the starter's thread."""
        _, waiting = carry_on(Position(), past.signals)
        strategy, memory = rebuild(lambda: recipe.build(identity, waiting), identity, past)
        session: Session
        if isinstance(strategy, DynamicStrategy):
            session = SealedSession(identity, strategy, self._host, memory)
        else:
            session = Session(identity, strategy, self._host, memory)
        self._starting = session
        session.start(Turn())
        return session
