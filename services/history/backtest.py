"""A strategy played over the past: the author's class unchanged, called through its session as live.

Events are played in the order given. What a bar's orders fill at comes after that bar was answered, and the
answer is told before the next one, as it is live by a gateway that answers between two bars.
"""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from operator import attrgetter

from models.errors import ConfigError
from models.execution import ExecutionReport
from models.market_data import Bar, Trade
from models.session import Lifecycle, SessionState
from models.signal import Signal
from services.author_calls import alarm
from services.history.backtest_run import BacktestRun, Ended
from services.history.broker import PaperBroker
from services.history.casting import identities, make_session, start, warm_up
from services.history.options import BacktestOptions
from services.history.risk_rules import RiskOffice
from services.session import Session, SessionHost, deliver_bar, deliver_trade
from services.turn import Letter, Turn
from strategies.base_strategy import BaseStrategy

Event = Bar | Trade

NO_SESSIONS: tuple[Session, ...] = ()
DEFAULTS = BacktestOptions()
PLAYED_AT_ONCE = 20_000
NO_DEADLINE_MS = 10**9


def run(
    strategy_class: type[BaseStrategy],
    events: Sequence[Event],
    options: BacktestOptions = DEFAULTS,
    progress: Callable[[int], None] | None = None,
) -> BacktestRun:
    """Play a strategy over bars or trades in time's order: one session per symbol, one account for all.

    `progress` is told now and then how many events more were played. Raises StrategyError when the strategy
    cannot be made or started, ConfigError when there is nothing to play. Errors of its handlers are contained
    as live; a session that they end is named in the result.
    """
    began = time.perf_counter()
    past, events = _divided(events, options.start)
    turn = Turn()
    with alarm(turn, options.call_seconds):
        stage = _Stage(strategy_class, events, options, turn)
        stage.begin(past)
        if progress is None:
            stage.play(events)
        else:
            for begin in range(0, len(events), PLAYED_AT_ONCE):
                some = events[begin : begin + PLAYED_AT_ONCE]
                stage.play(some)
                progress(len(some))
        stage.stop(events[-1].timestamp)
    return BacktestRun(
        strategy=strategy_class,
        parameters=stage.parameters,
        symbols=stage.symbols,
        options=options,
        events=events,
        traded=stage.traded(events),
        signals=stage.signals,
        fills=stage.broker.fills,
        reports=stage.reports,
        ended=stage.ended,
        unfilled=sum(map(len, stage.broker.waiting.values())),
        seconds=time.perf_counter() - began,
    )


def _divided(events: Sequence[Event], start: datetime | None) -> tuple[Sequence[Event], Sequence[Event]]:
    """Return what was before the start, and what is to be played."""
    cut = 0 if start is None else bisect_left(events, start, key=attrgetter("timestamp"))
    if cut == len(events):
        raise ConfigError("there are no bars" if start is None else f"there are no bars from {start} on")
    return (events[:cut], events[cut:]) if cut else ((), events)


class _Stage:
    """The sessions of one run, their broker, and what passes between them."""

    def __init__(
        self,
        strategy_class: type[BaseStrategy],
        events: Sequence[Event],
        options: BacktestOptions,
        turn: Turn,
    ) -> None:
        self.broker = PaperBroker(options)
        self.signals: list[Signal] = []
        self.reports: list[ExecutionReport] = []
        self.ended: list[Ended] = []
        self.letters: deque[tuple[Session, Letter]] = deque()
        self._now = options.started_at or events[0].timestamp
        self.turn = turn
        self._risk = (
            None if options.risk is None else RiskOffice(options.risk, lambda: self._now, options.cash)
        )
        host = self._host(options)
        known = dict.fromkeys(map(attrgetter("symbol"), events))
        self.symbols = tuple(known if options.symbols is None else options.symbols)
        for symbol in self.symbols:
            if symbol not in known:
                raise ConfigError(f"there are no bars of {symbol!r}")
        self._sessions = {
            each.key: make_session(strategy_class, each, host, options, turn)
            for each in identities(strategy_class, self.symbols, options, self._now)
        }
        self.routes: dict[str, tuple[Session, ...]] = dict.fromkeys(known, NO_SESSIONS)
        for session in self._sessions.values():
            for symbol in session.symbols:
                self.routes[symbol] = (*self.routes.get(symbol, NO_SESSIONS), session)
        self.parameters = dict(next(iter(self._sessions.values())).strategy.parameters)

    def _host(self, options: BacktestOptions) -> SessionHost:
        deadline_ms = NO_DEADLINE_MS if options.call_seconds is None else round(1000 * options.call_seconds)
        return SessionHost(
            submit=self._submit,
            post=lambda session, letter: self.letters.append((session, letter)),
            unroute=self._unroute,
            count_error=lambda _: None,
            changed=lambda _: None,
            max_errors=options.max_errors,
            deadline_ms=deadline_ms,
            deadline_max_ms=deadline_ms,
            lets_through=(KeyboardInterrupt,),
            vet=(lambda signal, _: (signal, None)) if self._risk is None else self._risk.vet,
            refuse=self._refuse,
            now=lambda: self._now,
        )

    def begin(self, past: Iterable[Event]) -> None:
        """Start every session, warm it up, and tell it of what became of the signals of its start."""
        for session in self._sessions.values():
            start(session, self.turn)
        warm_up(list(self._sessions.values()), past, self.turn)
        self._answer()

    def play(self, events: Iterable[Event]) -> None:
        """Deliver every event. The hottest loop of history: what nobody needs is not done here."""
        broker, letters, routes, turn = self.broker, self.letters, self.routes, self.turn
        waiting, at_close = broker.waiting, broker.at_close
        mark = None if self._risk is None else self._risk.mark
        for event in events:
            if waiting and event.symbol in waiting and not at_close:
                self._trade(event)
            if mark is not None:
                self._now = event.timestamp
                mark(event)
            if type(event) is Bar:
                deliver_bar(iter(routes[event.symbol]), event, turn)
            elif type(event) is Trade:
                deliver_trade(iter(routes[event.symbol]), event, turn)
            if letters or (at_close and waiting):
                if event.symbol in waiting and at_close:
                    self._trade(event)
                self._now = event.timestamp
                self._answer()

    def traded(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the events of the symbols that have a session, without those that were only watched."""
        symbols = set(self.symbols)
        if symbols.issuperset(self.routes):
            return events
        return tuple(event for event in events if event.symbol in symbols)

    def stop(self, moment: datetime) -> None:
        """Call `on_stop` of every session that still runs; what it sends finds no market any more."""
        self._now = moment
        for session in self._sessions.values():
            if session.state is SessionState.RUNNING:
                session.handle(Lifecycle("stop", moment))
        self._answer()

    def _trade(self, event: Event) -> None:
        """Fill what waits for this event, and tell of it."""
        self._now = event.timestamp
        self.broker.trade(event)
        self._answer()

    def _answer(self) -> None:
        """Tell the sessions what became of their signals; what this brings about waits for the next event."""
        answers = self.broker.reports
        while answers:
            key, report = answers.popleft()
            self.letters.append((self._sessions[key], report))
        for _ in range(len(self.letters)):
            session, letter = self.letters.popleft()
            if isinstance(letter, ExecutionReport):
                self.reports.append(letter)
                if self._risk is not None:
                    self._risk.settle(letter)
            session.handle(letter)

    def _submit(self, signal: Signal, _received_at: float, barred: str | None) -> str | None:
        self.signals.append(signal)
        if barred is None:
            self.broker.take(signal, follows_bar=not isinstance(self.turn.event, Trade | Lifecycle))
        elif self._risk is not None:
            self._risk.release(signal.signal_id)
        return barred

    def _refuse(self, signal: Signal, _received_at: float, reason: str) -> str | None:
        self.signals.append(signal)
        return reason

    def _unroute(self, symbol: str, session: Session) -> None:
        self.routes[symbol] = tuple(each for each in self.routes[symbol] if each is not session)
        if session.state in {SessionState.STOPPED, SessionState.RUNNING} or symbol != session.identity.symbol:
            return
        event = self.turn.event
        moment = event.timestamp if isinstance(event, Bar | Trade) else self._now
        self.ended.append(
            Ended(session.identity.key, symbol, session.state.value, session.reason or "", moment)
        )
