"""Calls a strategy for every event of a batch, contains what it raises, and tells what it decides."""

import json
import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, get_args

from msgspec.structs import asdict

from models.errors import StrategyRejected, StrategyTimedOut
from models.execution import ExecutionReport
from models.gap import Gap
from models.market_data import Bar, Trade
from models.saved_state import encode_state
from models.session import Lifecycle
from models.signal import Decision, derive_signal_id
from services.sandbox.host.channel import Channel, Interruption
from services.sandbox.host.place import FILE, place_of
from services.sandbox.protocol import (
    LONGEST_LOG,
    LONGEST_MESSAGE,
    LONGEST_TRACEBACK,
    BarEvent,
    Batch,
    Decided,
    Done,
    Event,
    Failed,
    GapEvent,
    GetState,
    Hook,
    Level,
    LifecycleEvent,
    Load,
    LogLine,
    Reduced,
    ReportEvent,
    SetPosition,
    SetState,
    State,
    TradeEvent,
    readable,
)
from strategies.base_strategy import BaseStrategy

MOST_FRAMES = 20
LONGEST_NAME = 128
Answered = Bar | Trade | ExecutionReport | Gap | Lifecycle


class Call(NamedTuple):
    """What an event asks for; signals are in answer to `answered`, and to None there can be none."""

    hook: Hook
    function: Callable[[Any], object]
    argument: Any
    answered: Answered | None


class Caller:
    """A strategy and the event that it answers: what a session is in the worker, here in the host."""

    def __init__(self, channel: Channel, interruption: Interruption, page: memoryview) -> None:
        self._channel = channel
        self._interruption = interruption
        self._page = page
        self._strategy: BaseStrategy
        self._key = ""
        self._open_signals: set[str] = set()
        self._seq = 0
        self._answered: Answered | None = None
        self._last_identity = ""
        self._ordinal = 0
        self._warm_up = False

    def take(self, strategy: BaseStrategy, load: Load) -> None:
        """Call this strategy from now on."""
        self._strategy = strategy
        self._key = load.session_key
        self._open_signals = set(load.open_signals)
        strategy.attach(self)

    def log(self, level: str, line: str) -> None:
        """Tell the worker a line of the author's."""
        known: Level = level if level in get_args(Level) else "info"  # type: ignore[assignment]
        self._channel.say(LogLine(seq=self._seq, level=known, text=readable(line)[:LONGEST_LOG]))

    def work_off(self, batch: Batch) -> None:
        """Answer every event of a batch; what an event brings is said before the next one is begun."""
        self._warm_up = batch.warm_up
        for self._seq, event in enumerate(batch.events, batch.first):
            self._channel.flush()
            self._call(event)
        self._channel.say(Done(seq=self._seq))
        self._channel.flush()

    def emit(self, decision: Decision) -> str:
        """Give a decision the id that the worker gives it, book it and tell it."""
        answered = self._answered
        if answered is None:
            raise StrategyRejected("get_state and set_state keep what was; they cannot send signals")
        identity = answered.identity
        self._ordinal = self._ordinal + 1 if identity == self._last_identity else 0
        self._last_identity = identity
        signal_id = derive_signal_id(self._key, identity, self._ordinal)
        if not self._warm_up and signal_id not in self._open_signals:
            self._strategy.booked_position = self._strategy.booked_position.after_signal(decision)
        self._channel.say(
            Decided(seq=self._seq, ordinal=self._ordinal, signal_id=signal_id, **asdict(decision))
        )
        return signal_id

    def _call(self, event: Event) -> None:
        """Call the hook that an event asks for, in the sight of the worker."""
        hook, function, argument, self._answered = self._call_of(event)
        self._interruption.asked = False
        self._page[1], self._page[0] = time.monotonic_ns(), self._seq
        self._interruption.allowed = True
        try:
            function(argument)
            self._interruption.allowed = False
        except BaseException as error:  # noqa: BLE001 — a stranger's code: even SystemExit stays in it
            self._interruption.allowed = False
            self._channel.say(_failed(self._seq, hook, error))
        self._page[0] = 0

    def _call_of(self, event: Event) -> Call:
        """Return the hook, what to call with what, and the event that signals would answer."""
        strategy = self._strategy
        if isinstance(event, BarEvent):
            return Call("on_bar", strategy.on_bar, event.bar, event.bar)
        if isinstance(event, TradeEvent):
            return Call("on_trade", strategy.on_trade, event.trade, event.trade)
        return self._rare_call_of(event)

    def _rare_call_of(self, event: Event) -> Call:
        strategy = self._strategy
        match event:
            case ReportEvent(report):
                call = Call("on_execution", strategy.apply_report, report, report)
            case GapEvent(gap):
                call = Call("on_gap", strategy.on_gap, gap, gap)
            case LifecycleEvent(lifecycle) if lifecycle.moment == "start":
                call = Call("on_start", lambda _: strategy.on_start(), None, lifecycle)
            case LifecycleEvent(lifecycle):
                call = Call("on_stop", lambda _: strategy.on_stop(), None, lifecycle)
            case SetState(state):
                call = Call("set_state", lambda text: strategy.set_state(json.loads(text)), state, None)
            case GetState():
                call = Call("get_state", self._say_state, None, None)
            case _:
                call = Call("set_state", self._set_position, event, None)
        return call

    def _say_state(self, _: None) -> None:
        self._channel.say(State(seq=self._seq, state=encode_state(self._strategy.get_state())))

    def _set_position(self, event: SetPosition | Reduced) -> None:
        strategy = self._strategy
        if isinstance(event, SetPosition):
            strategy.booked_position = event.position
        else:
            strategy.booked_position = strategy.booked_position.after_reduction(event.action, event.by)


def _failed(seq: int, hook: Hook, error: BaseException) -> Failed:
    """Return what the worker is told of an error, cut to what a frame holds."""
    line, column = None, None
    try:
        line, column = place_of(error)
        message = readable(str(error))[:LONGEST_MESSAGE]
        own = error.with_traceback(_from_the_source_on(error.__traceback__))
        trace = "".join(traceback.format_exception(own, limit=-MOST_FRAMES))
    except Exception:  # noqa: BLE001 — a stranger's code: even the text of an error is
        message, trace = "(its text cannot be had)", ""
    return Failed(
        seq=seq,
        hook=hook,
        error=readable(type(error).__name__)[:LONGEST_NAME],
        message=message,
        traceback=readable(_without_folders(trace))[-LONGEST_TRACEBACK:],
        line=line,
        column=column,
        timed_out=isinstance(error, StrategyTimedOut),
    )


def _from_the_source_on(trace: TracebackType | None) -> TracebackType | None:
    """Leave out the calls that led to the author's code: they are ours."""
    first = trace
    while first is not None and first.tb_frame.f_code.co_filename != FILE:
        first = first.tb_next
    return first or trace


def _without_folders(trace: str) -> str:
    """Name files from where they are imported: where that is, is the operator's business."""
    for folder in sorted(sys.path, key=len, reverse=True):
        trace = trace.replace(f"{folder}/", "") if folder else trace
    return trace
