"""Tries code on a made-up market, so that its author hears what it raises before anybody trades with it."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from models.errors import StrategyError
from models.execution import ExecutionReport
from models.gap import Gap
from models.market_data import Bar, Trade
from models.position import Position
from models.session import Lifecycle
from services.sandbox.link import Link, failure_of, placed
from services.sandbox.protocol import Decided, Failed, GetState, SetPosition, SetState, State
from services.sandbox.told import Input, Told

FIRST = datetime(2026, 1, 28, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BARS = 40
TRADES = 5
MOST_WARM_UP = 500
MOST_ANSWERED = 20


def sample_bars(symbol: str, count: int = BARS) -> list[Bar]:
    """Return bars of one minute whose prices rise and fall by a tenth."""
    closes = [round(100 + 10 * math.sin(number / 6), 2) for number in range(count + 1)]
    return [
        Bar(
            symbol,
            "1m",
            open=before,
            high=round(max(before, close) + 0.1, 2),
            low=round(min(before, close) - 0.1, 2),
            close=close,
            volume=1000.0 + number,
            timestamp=FIRST + number * MINUTE,
        )
        for number, (before, close) in enumerate(pairwise(closes))
    ]


class Rehearsal:
    """What came of telling a link, whose code is loaded and not live, of a market.

    `problems` has the first that went wrong in each handler, with its place. `signals` counts what the code
    decided, its warm-up apart; `most_signals` at one event are fine. Once it `is_over` its process can go on
    no more.
    """

    def __init__(self, link: Link, most_signals: int | None = None) -> None:
        self.signals = 0
        self.state: str | None = None
        self.is_over = False
        self._link = link
        self._most_signals = most_signals
        self._problems: dict[str, str] = {}

    @property
    def problems(self) -> list[str]:
        """What went wrong, one sentence each."""
        return list(self._problems.values())

    def play(self, state: str | None = None) -> None:
        """Live through a session from its start, with this state if there is one, to its stop.

        Where it does not start the rest is left out, as it would be.
        """
        start = [] if state is None else [Told(SetState(state))]
        self._tell_all([*start, Told(SetPosition(Position())), Told(Lifecycle("start", FIRST))])
        if not self._problems:
            self._tell_all(self._market())
            self._tell_all([Told(GetState()), Told(Lifecycle("stop", FIRST))])

    def failure_at(self, bars: Sequence[Bar]) -> str | None:
        """Start and answer these bars alone; return what goes wrong at every one, None where one is answered.

        Nor is anything said where it does not start.
        """
        self._tell_all([Told(SetPosition(Position())), Told(Lifecycle("start", FIRST))])
        if self._problems:
            return None
        failures = [self.is_over or self._tell(Told(bar)) for bar in bars]
        return self.problems[0] if self.is_over or (failures and all(failures)) else None

    def _market(self) -> Iterator[Told]:
        loaded, symbol = self._link.loaded, self._link.load.symbol
        symbols = (*loaded.watched_symbols, symbol)
        before = min(loaded.warmup_bars, MOST_WARM_UP)
        for number, bars in enumerate(
            zip(*(sample_bars(each, before + BARS) for each in symbols), strict=True)
        ):
            yield from (Told(bar, warm_up=number < before) for bar in bars)
        last = FIRST + (before + BARS) * MINUTE
        for second in range(TRADES):
            yield Told(Trade(symbol, 100.0 + second, 1.0, last + timedelta(seconds=second)))
        yield Told(Gap(stream="bars", symbol=symbol, since=last, until=last + MINUTE, reason="a sample"))

    def _tell_all(self, events: Iterable[Told]) -> None:
        for told in events:
            if self.is_over:
                return
            self._tell(told)

    def _tell(self, told: Told) -> bool:
        """Tell one event, and what became of the orders in answer to it; return whether the event failed."""
        told.received_at = time.monotonic()
        try:
            answers = self._link.try_out(told)
        except StrategyError as error:
            self.is_over = True
            self._note(_hook_of(told.event), f"{_hook_of(told.event)}: {error}")
            return True
        decided, failed = [], False

        for answer in answers:
            if isinstance(answer, Failed):
                failed = True
                self._fail(answer)
            elif isinstance(answer, Decided) and not told.warm_up:
                decided.append(answer)
            elif isinstance(answer, State):
                self.state = answer.state
        self._count(told, decided)
        if not isinstance(told.event, ExecutionReport | Lifecycle):
            self._tell_all(Told(_filled(each, self._link.load.symbol)) for each in decided[:MOST_ANSWERED])
        return failed

    def _count(self, told: Told, decided: list[Decided]) -> None:
        self.signals += len(decided)
        if self._most_signals is not None and len(decided) > self._most_signals:
            hook = _hook_of(told.event)
            self._note(f"{hook} signals", f"{hook} sent more than {self._most_signals} signals at one event")

    def _fail(self, failed: Failed) -> None:
        problem = str(failure_of(failed))
        if failed.timed_out:
            self.is_over = True
            said = f"{failed.hook} was interrupted there: it computed for longer than one call may"
            problem = placed(failed.line, failed.column, said)
        self._note(failed.hook, problem)

    def _note(self, about: str, problem: str) -> None:
        self._problems.setdefault(about, problem)


def _filled(decided: Decided, symbol: str) -> ExecutionReport:
    return ExecutionReport(
        signal_id=decided.signal_id,
        symbol=symbol,
        action=decided.action,
        quantity=decided.quantity,
        status="filled",
        filled_quantity=decided.quantity,
        filled_price=decided.price,
    )


def _hook_of(event: Input) -> str:
    """Return which handler answers an event."""
    if isinstance(event, Lifecycle):
        return f"on_{event.moment}"
    names: dict[type, str] = {
        Bar: "on_bar",
        Trade: "on_trade",
        Gap: "on_gap",
        ExecutionReport: "on_execution",
        GetState: "get_state",
    }
    return names.get(type(event), "set_state")
