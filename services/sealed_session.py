"""A session whose strategy runs in a sealed process: what that answers is acted on when it comes."""

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from msgspec.structs import replace

from models.errors import StrategyRejected
from models.session import Lifecycle, SessionIdentity, SessionState
from models.signal import Decision
from services.sandbox.link import Answer, Link, failure_of
from services.sandbox.protocol import Decided, Failed, GetState, LogLine, Reduced, State
from services.sandbox.told import Question, Told
from services.session import ENDED, Session, SessionHost
from services.state_memory import SessionMemory
from services.telemetry.logs import Throttle
from services.turn import Errand
from strategies.dynamic_strategy import DynamicStrategy

CODE_HASH = "codeHash"

log = structlog.get_logger(__name__)
author_log = structlog.get_logger("strategy")
throttle = Throttle(1.0)


class SealedSession(Session):
    """Acts on answers under the event that was answered.

    So ids, times and risk checks are those of a session that is not sealed.
    """

    __slots__ = ("_failed_number", "_version", "link")

    def __init__(
        self,
        identity: SessionIdentity,
        strategy: DynamicStrategy,
        host: SessionHost,
        memory: SessionMemory | None = None,
    ) -> None:
        super().__init__(identity, strategy, host, memory)
        if not isinstance(strategy.port, Link):
            raise TypeError("a sealed session needs a link to its process")
        self.link = strategy.port
        self.link.attach(self)
        self._failed_number = -1
        self._version = self.link.code_hash

    @property
    def received_at(self) -> float:
        """When the event at hand came."""
        return self._turn.received_at

    @property
    def is_warming_up(self) -> bool:
        """Whether what is told now is of the past."""
        return self.memory.is_warming_up

    @property
    def lifecycle(self) -> Lifecycle:
        """The start or stop at hand."""
        event = self._turn.event
        return event if isinstance(event, Lifecycle) else Lifecycle("start", self.identity.started_at)

    def post(self, answers: Sequence[Answer]) -> None:
        """Have the data thread act on answers soon. Any thread."""
        self._host.post(self, Errand(lambda _: self.hear(answers), many_calls=True))

    def quarantine(self, reason: str) -> None:
        """Have the data thread quarantine the session soon. Any thread."""
        self._host.post(self, Errand(lambda _: self.end(SessionState.QUARANTINED, reason)))

    def end(self, state: SessionState, reason: str) -> None:
        """End as any session does; a quarantined one has no process any more."""
        super().end(state, reason)
        if self.state is SessionState.QUARANTINED:
            self.link.close()

    def hear(self, answers: Sequence[Answer]) -> None:
        """Act on each answer as in answer to its event."""
        turn = self._turn
        event, received_at, warming_up = turn.event, turn.received_at, self.memory.is_warming_up
        try:
            for told, answer in answers:
                if not isinstance(told.event, GetState | Reduced):
                    turn.event = told.event  # type: ignore[assignment]  # of the events that sessions have
                turn.received_at, self.memory.is_warming_up = told.received_at, told.warm_up
                self._act(told, answer)
        finally:
            turn.event, turn.received_at, self.memory.is_warming_up = event, received_at, warming_up

    def ask_state(self, answered: Callable[[str | None], None]) -> None:
        """Have `answered` called with the state at this point of the stream, or None where there is none."""
        self.link.ask_state(answered)

    def emit(self, decision: Decision) -> str:
        """Send a decision with the hash of the code that made it in its metadata."""
        metadata = {**decision.metadata, CODE_HASH: self._version}
        return super().emit(replace(decision, metadata=metadata))

    def describe(self) -> dict[str, Any]:
        """Return what any session shows, and how its process does."""
        link = self.link
        shown = super().describe()
        shown["reason"] = shown["reason"] or link.condition
        shown["sandbox"] = {
            "codeHash": link.code_hash,
            "lagging": link.lagging,
            "conflatedTrades": link.conflated,
            "restarts": link.restarts,
            "reloads": link.reloads,
            "reloadRefused": link.reload_refused,
        }
        return shown

    def _act(self, told: Told, answer: object) -> None:
        if isinstance(answer, Decided):
            self._decide(told, answer)
        elif isinstance(answer, LogLine):
            author_log.log(_LEVELS[answer.level], answer.text, session=self.identity.key)
        elif isinstance(answer, State):
            self.link.state = answer.state
            if isinstance(told, Question):
                told.answered(answer.state)
        elif isinstance(answer, Failed):
            self._fail(told, answer)

    def _decide(self, told: Told, decided: Decided) -> None:
        """Send what the code decided, and tell it where less was sent."""
        strategy = self.strategy
        before = strategy.booked_position
        self._version = told.version
        try:
            strategy.send_signal(
                decided.action, decided.price, decided.quantity, decided.confidence, decided.metadata
            )
        except StrategyRejected as error:
            throttle.log(log.warning, "sealed_signal_refused", session=self.identity.key, reason=str(error))
        booked = strategy.booked_position
        if told.warm_up or decided.signal_id in self.link.load.open_signals:
            return
        expected = before.after_signal(_decision(decided)).expected
        missing = abs(expected - booked.expected)
        if missing:
            self.link.reduce(Reduced(decided.action, missing))

    def _fail(self, told: Told, failed: Failed) -> None:
        error = failure_of(failed)
        if isinstance(told.event, GetState):
            self.complain("state_not_saved", error)
            if isinstance(told, Question):
                told.answered(None)
            return
        events = self.bars + self.trades
        self.events_at_error = events if told.number == self._failed_number + 1 else events - 1
        self._failed_number = told.number
        if self.state not in ENDED:
            self.failed(error) if not failed.timed_out else self.complain("strategy_failed", error)


_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def _decision(decided: Decided) -> Decision:
    return Decision(action=decided.action, price=decided.price, quantity=decided.quantity)
