"""One running strategy: its state, its counts, its errors. The only caller of an author's methods.

A running session is called by the data thread alone, so that authors never meet two threads and no call
needs a lock. `on_start` is called by whoever starts the session, before any market data is routed to it.
"""

import inspect
import os
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from models.errors import StrategyError, StrategyRejected, StrategyTimedOut
from models.execution import ExecutionReport
from models.gap import Gap
from models.lease import Standing
from models.market_data import Bar, Trade
from models.session import AssetType, Lifecycle, SessionIdentity, SessionState
from models.signal import Decision, Signal
from services.session_description import describe_counts, describe_identity, describe_position
from services.signal_stamp import SignalStamp, utc_now
from services.signals.outcome import failed
from services.state_memory import SessionMemory
from services.telemetry.logs import Throttle
from services.turn import Errand, Letter, Retired, Turn
from strategies.base_strategy import BaseStrategy
from strategies.watching import watched_by

# Where the frames of a traceback are no author's.
OURS = (
    f"{Path(__file__).parent}{os.sep}",
    *(str(inspect.getsourcefile(each)) for each in (BaseStrategy, watched_by)),
)
LOG_SECONDS = 1.0
GAP_FENCE = "gap_fence"
TOO_MANY = "too_many_open_signals"
MOST_OPEN_SIGNALS = 1_000
LONGEST_REASON = 500

# A session that ended so sends nothing any more.
ENDED = {SessionState.ERROR, SessionState.HALTED, SessionState.QUARANTINED}

log = structlog.get_logger(__name__)
throttle = Throttle(LOG_SECONDS)


def _nobody_else(_: str) -> None:
    """Say that no other worker has the session: there is none."""


def _nothing_sent(_: list[str]) -> None:
    """Take nothing back."""


def _as_it_is(signal: Signal, _: AssetType) -> tuple[Signal, str | None]:
    """Let a signal pass."""
    return signal, None


def _not_recorded(_signal: Signal, _received_at: float, reason: str) -> str | None:
    """Record nothing."""
    return reason


@dataclass(frozen=True)
class SessionHost:
    """What a session needs of the worker around it.

    `submit` takes a signal, the receipt of its event (monotonic seconds), and why it must not be sent, if so;
    it returns why it is refused, or None. `post` has the data thread call `session.handle(event)` soon.
    `unroute` takes a session off one symbol in the routing table; after `max_errors` in a row it is given up.
    `count_error` counts a failed call by the strategy's name. `changed` tells that the session with this key
    is in another state. A call may take `deadline_ms`; a class may ask for more, up to `deadline_max_ms`.
    `claim` takes a session for this worker; it returns the worker that has it, or None when it is this one,
    and raises StorageUnavailable. `withdraw` takes signals back, as far as they are not sent yet.
    `vet` returns a signal as it may be sent, which may be of less, and why it may not; `refuse` records one
    that may not, and returns as `submit` does. `now` is the time of what answers no market data, in UTC.
    What is raised in a call is contained, but for what `lets_through` names.
    """

    submit: Callable[[Signal, float, str | None], str | None]
    post: Callable[["Session", Letter], None]
    unroute: Callable[[str, "Session"], None]
    count_error: Callable[[str], None]
    changed: Callable[[str], None]
    max_errors: int
    deadline_ms: int = 250
    deadline_max_ms: int = 5000
    claim: Callable[[str], str | None] = _nobody_else
    withdraw: Callable[[list[str]], None] = _nothing_sent
    vet: Callable[[Signal, AssetType], tuple[Signal, str | None]] = _as_it_is
    refuse: Callable[[Signal, float, str], str | None] = _not_recorded
    now: Callable[[], datetime] = utc_now
    lets_through: tuple[type[BaseException], ...] = ()


class Session:
    """A strategy instance together with everything the worker keeps about it."""

    __slots__ = (
        "_errors_in_a_row",
        "_host",
        "_name",
        "_stamp",
        "_turn",
        "bars",
        "deadline",
        "events_at_error",
        "identity",
        "memory",
        "on_bar",
        "on_trade",
        "outcomes",
        "reason",
        "signals",
        "state",
        "strategy",
        "symbols",
        "trades",
    )

    def __init__(
        self,
        identity: SessionIdentity,
        strategy: BaseStrategy,
        host: SessionHost,
        memory: SessionMemory | None = None,
    ) -> None:
        self.identity = identity
        self.strategy = strategy
        self.symbols = (identity.symbol, *watched_by(strategy))
        self.state = SessionState.STARTING
        self.reason: str | None = None
        self.deadline = min(type(strategy).deadline_ms or host.deadline_ms, host.deadline_max_ms) / 1000
        self.bars = self.trades = self.signals = 0
        self.outcomes: Counter[str] = Counter()
        self.on_bar: Callable[[Bar], None] = strategy.on_bar
        self.on_trade: Callable[[Trade], None] = strategy.on_trade
        self.events_at_error = self._errors_in_a_row = 0
        self._name = str(type(strategy).name)
        self._host = host
        self._turn = Turn()
        self.memory = memory or SessionMemory()
        self._stamp = SignalStamp(identity, host.now)
        strategy.attach(self)

    def start(self, turn: Turn) -> None:
        """Call `on_start`. Raises whatever it raises: a strategy that cannot start is not routed."""
        self._turn = turn
        turn.session, turn.event = self, Lifecycle("start", self.identity.started_at)
        self.strategy.on_start()

    def hand_over(self, turn: Turn) -> None:
        """Let the thread of this turn call the session from now on."""
        self._turn = turn

    def begin(self) -> None:
        """Note that market data reaches the strategy from now on."""
        self.state = SessionState.RUNNING
        self._host.changed(self.identity.key)

    def handle(self, event: Letter) -> None:
        """Call the handler of an event that is no market data, containing whatever it raises."""
        turn = self._turn
        tenure = turn.tenure
        turn.session, turn.event = self, event
        try:
            self._call_handler(event)
            time.monotonic()  # a call, so that an interruption that came too late is raised here
        except BaseException as error:  # noqa: BLE001 — an author's code: even SystemExit stays in it
            if tenure.retired:
                raise Retired from None
            turn.session = None  # before any call: what comes now must not be interrupted
            try:
                self.failed(error)
            except StrategyTimedOut as late:  # it was on its way when C code raised by itself
                self.failed(late.with_traceback(error.__traceback__))
        if tenure.retired:
            raise Retired
        turn.session = None

    def emit(self, decision: Decision) -> str:
        """Give a checked decision its identity and send it on its way; return the signal's id."""
        if self.state in ENDED:
            raise StrategyRejected(f"the session is {self.state}: {self.reason}")
        if isinstance(self._turn.event, Errand):
            raise StrategyRejected("get_state saves; it cannot send signals")
        signal = self._stamp.stamp(decision, self._turn.event)
        if self.memory.waits_for(signal.signal_id):
            return signal.signal_id  # decided before a restart, and still without answer: one order
        if self.memory.is_warming_up:
            self.memory.warm_up_signals += 1
            return signal.signal_id
        self.signals += 1
        barred = _barred(self)
        signal, risk = self._host.vet(signal, self.identity.asset_type) if barred is None else (signal, None)
        self.memory.open_signals.add(signal.signal_id)
        self.strategy.booked_position = self.strategy.booked_position.after_signal(signal)
        if risk is None:
            refusal = self._host.submit(signal, self._turn.received_at, barred)
        else:
            refusal = self._host.refuse(signal, self._turn.received_at, risk)
        if refusal is None:
            self.memory.note_sent(self._turn.event, signal.signal_id)
            if self.state is SessionState.QUARANTINED:  # meanwhile, by the supervisor
                self._host.withdraw([signal.signal_id])
        else:
            self._host.post(self, failed(signal, "refused", refusal, 0, self._turn.received_at).report)
        return signal.signal_id

    def failed(self, error: BaseException) -> None:
        """Contain an error of the strategy; give it up after too many in a row, or one call too long."""
        if isinstance(error, self._host.lets_through):
            raise error
        events = self.bars + self.trades
        self._errors_in_a_row = self._errors_in_a_row + 1 if events == self.events_at_error else 1
        self.events_at_error = events
        self._host.count_error(self._name)
        throttle.log(
            log.error,
            "strategy_failed",
            key=self.identity.key,
            session=self.identity.key,
            in_a_row=self._errors_in_a_row,
            exc_info=error,
        )
        if isinstance(error, StrategyTimedOut):
            self.end(SessionState.QUARANTINED, f"a call took longer than {self.deadline:g} s, {where(error)}")
        elif self._errors_in_a_row >= self._host.max_errors:
            self.end(
                SessionState.ERROR, f"{self._errors_in_a_row} errors in a row, the last: {explain(error)}"
            )

    def complain(self, action: str, error: BaseException) -> None:
        """Count and log an error of the strategy that is not held against it."""
        self._host.count_error(self._name)
        throttle.log(log.error, action, key=self.identity.key, session=self.identity.key, exc_info=error)

    def end(self, state: SessionState, reason: str) -> None:
        """Tell the strategy of no more market data, in ERROR, or HALTED until a person looked."""
        if self.state is SessionState.HALTED:
            return  # until a person has looked, whatever else happens
        self.state, self.reason = state, reason
        self.unroute()
        self._host.changed(self.identity.key)
        log.error("session_ended", session=self.identity.key, state=state.value, reason=reason)
        if state is SessionState.QUARANTINED:
            self.withdraw()

    def unroute(self) -> None:
        """Have no more market data told to the strategy, of any symbol."""
        for symbol in self.symbols:
            self._host.unroute(symbol, self)

    def withdraw(self) -> None:
        """Take back what was sent in the call under way, which does not return, as far as it has not left."""
        if sent := self.memory.sent_in(self._turn.event):
            self._host.withdraw(sent)

    def describe(self) -> dict[str, Any]:
        """Return what /sessions and the registry show, in the names of the wire."""
        return {
            **describe_identity(self.identity, self.state, self.reason),
            "strategy": self._name,
            "watchedSymbols": list(self.symbols[1:]),
            **describe_counts(self.bars, self.trades, self.signals, self.outcomes),
            "position": describe_position(self.strategy.position),
            **self.memory.describe(),
        }

    def _answered(self, report: ExecutionReport) -> None:
        if (told := self.memory.answer(report)) is None:
            return  # of an earlier session under the same key, or answered before
        self.outcomes[_outcome(told)] += 1
        if self.state in {SessionState.STOPPED, SessionState.STANDBY}:  # `on_stop` was its last word
            self.strategy.booked_position = self.strategy.booked_position.after_report(told)
        else:
            self.strategy.apply_report(told)

    def _call_handler(self, event: Letter) -> None:
        if isinstance(event, ExecutionReport):
            self._answered(event)
        elif isinstance(event, Gap):
            self.strategy.on_gap(event)
        elif isinstance(event, Errand):
            event.perform(self)
        else:
            self._stopped()

    def _stopped(self) -> None:
        if self.state in {SessionState.STOPPED, SessionState.QUARANTINED}:
            return  # a quarantined strategy may still be running somewhere
        self.unroute()  # here, so that it is known which bar was its last
        if self.state is not SessionState.STANDBY:
            self.state = SessionState.STOPPED
        self.strategy.on_stop()


def _barred(session: Session) -> str | None:
    """Return why a session may send nothing now, whatever it is; None where it may."""
    memory = session.memory
    if session.state is SessionState.STANDBY:
        return Standing.LOST
    if any(feed.fenced_for is not None for feed in memory.feeds):
        return GAP_FENCE
    return TOO_MANY if len(memory.open_signals) >= MOST_OPEN_SIGNALS else None


def deliver_bar(sessions: Iterator[Session], bar: Bar, turn: Turn) -> None:
    """Call `on_bar` of every session, containing what each raises. The hottest loop of the worker.

    May be called again with the same iterator after an interruption: it goes on with the next session.
    Raises Retired in a thread whose place another one took meanwhile.
    """
    tenure = turn.tenure
    turn.event = bar
    for session in sessions:
        turn.session = session
        try:
            session.on_bar(bar)
        except BaseException as error:  # noqa: BLE001 — an author's code: even SystemExit stays in it
            if tenure.retired:
                raise Retired from None
            turn.session = None  # before any call: what comes now must not be interrupted
            try:
                session.failed(error)
            except StrategyTimedOut as late:  # it was on its way when C code raised by itself
                session.failed(late.with_traceback(error.__traceback__))
        else:
            if tenure.retired:
                raise Retired
            session.bars += 1
    turn.session = None


def deliver_trade(sessions: Iterator[Session], trade: Trade, turn: Turn) -> None:
    """Call `on_trade` of every session, as `deliver_bar` does."""
    tenure = turn.tenure
    turn.event = trade
    for session in sessions:
        turn.session = session
        try:
            session.on_trade(trade)
        except BaseException as error:  # noqa: BLE001 — an author's code: even SystemExit stays in it
            if tenure.retired:
                raise Retired from None
            turn.session = None  # before any call: what comes now must not be interrupted
            try:
                session.failed(error)
            except StrategyTimedOut as late:  # it was on its way when C code raised by itself
                session.failed(late.with_traceback(error.__traceback__))
        else:
            if tenure.retired:
                raise Retired
            session.trades += 1
    turn.session = None


def _outcome(report: ExecutionReport) -> str:
    """Name what became of a signal, in one word; what was told before is counted as that."""
    if report.told_before:
        return "told_before"
    return "executed" if report.executed else report.status


def where(error: BaseException) -> str:
    """Say where an author's code was when an error struck it: at which line of the file of its handler."""
    every = traceback.extract_tb(error.__traceback__)
    frames = [each for each in every if not each.filename.startswith(OURS)]
    in_file = [each for each in frames if each.filename == frames[0].filename]
    return f"in {in_file[-1].name}, line {in_file[-1].lineno}" if in_file else "in C"


def explain(error: BaseException) -> str:
    """Say in one line what went wrong, for a session's reason."""
    try:
        told = str(error)[:LONGEST_REASON].encode(errors="backslashreplace").decode()
    except BaseException:  # noqa: BLE001 — an author's code: even the text of an error is
        told = "(its text cannot be had)"
    if isinstance(error, MemoryError) and not told:
        told = "more memory than there is, or than MEMORY_STEP_MB allows at once"
    return told if isinstance(error, StrategyError) else f"{type(error).__name__}: {told}"
