"""A session's end of the way to its sealed host: it queues and never waits, but for the start."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from queue import Empty, SimpleQueue
from typing import Protocol

from models.errors import StrategyCrashed, StrategyQuarantined, StrategyTimedOut
from models.execution import ExecutionReport
from models.gap import Gap
from models.market_data import Bar, Trade
from models.position import Position
from models.session import Lifecycle
from services.sandbox.ending import Cause, Ending
from services.sandbox.protocol import (
    Done,
    Failed,
    FromHost,
    GetState,
    Load,
    Loaded,
    NotLoaded,
    Reduced,
    SetPosition,
    SetState,
)
from services.sandbox.told import Question, Told

START_SECONDS = 10.0
LAST_BARS = 5

Answer = tuple[Told, FromHost]
Final = NotLoaded | Ending


class Listener(Protocol):
    """The session: which event it is called with, and where answers go."""

    @property
    def received_at(self) -> float:
        """When the event at hand came, in monotonic seconds."""

    @property
    def is_warming_up(self) -> bool:
        """Whether what is told now is of the past."""

    @property
    def lifecycle(self) -> Lifecycle:
        """The start or stop at hand."""

    def hear(self, answers: Sequence[Answer]) -> None:
        """Act on answers now, on the thread that calls the session."""

    def post(self, answers: Sequence[Answer]) -> None:
        """Have `hear` called on that thread soon."""

    def quarantine(self, reason: str) -> None:
        """Have the session quarantined soon: its host is ended and comes back only by a person's word."""


class Unheard:
    """The session of code that is only prepared: whatever it decides comes to nothing."""

    received_at = 0.0
    is_warming_up = False

    def __init__(self, lifecycle: Lifecycle) -> None:
        self.lifecycle = lifecycle

    def hear(self, answers: Sequence[Answer]) -> None:
        """Act on nothing."""

    def post(self, answers: Sequence[Answer]) -> None:
        """Act on nothing."""

    def quarantine(self, reason: str) -> None:
        """Quarantine nobody."""


class Link:
    """Port of one DynamicStrategy. Its methods are called by the thread that may call the session.

    `queue` is emptied by the conversation with the host, which sets `idle` when it finds nothing there.
    `last_bars` are the newest that it was told of, for code that is to take over.
    """

    def __init__(self, load: Load, wake: Callable[[], None], close: Callable[[], None]) -> None:
        self.load = load
        self.code_hash = sha256(load.source.encode()).hexdigest()
        self.queue: deque[Told] = deque()
        self.idle = False
        self.live = False
        self.closed = False
        self.listener: Listener = Unheard(Lifecycle("start", datetime.now(UTC)))
        self.loaded: Loaded
        self.warmup_bars = 0
        self.watched_symbols: tuple[str, ...] = ()
        self.state: str | None = None
        self.condition: str | None = None
        self.reload_refused: str | None = None
        self.last_bars: tuple[Bar, ...] = ()
        self.conflated = 0
        self.lagging = False
        self.restarts = self.reloads = 0
        self._wake = wake
        self._close = close
        self._starting: SimpleQueue[list[Answer] | Loaded | Final] = SimpleQueue()
        self._stopping = False
        self._asked: dict[int, Callable[[str | None], None]] = {}

    def await_loaded(self) -> None:
        """Wait until the source is loaded. Raises StrategyError where it makes no strategy."""
        loaded = self._next(time.monotonic() + START_SECONDS, "at the start")
        if not isinstance(loaded, Loaded):
            raise StrategyCrashed("the process of the strategy answers out of turn")
        self.loaded = loaded
        self.warmup_bars = loaded.warmup_bars
        self.watched_symbols = tuple(loaded.watched_symbols)

    def attach(self, listener: Listener) -> None:
        """Tell this session what the code answers."""
        self.listener = listener

    def tell(self, event: Bar | Trade | ExecutionReport | Gap) -> None:
        """Queue an event of market data, a report or a gap."""
        listener = self.listener
        if isinstance(event, Bar):
            self.last_bars = (*self.last_bars[1 - LAST_BARS :], event)
        self._say(Told(event, listener.received_at, listener.is_warming_up))

    def reduce(self, event: Reduced) -> None:
        """Tell the host that it expects too much."""
        self._say(Told(event))

    def restore(self, state: str) -> None:
        """Give the state back and wait until it is taken."""
        self._ask(Told(SetState(state), time.monotonic()))
        self.state = state

    def start(self, position: Position, past: Sequence[Told] = ()) -> None:
        """Start it with this position, after telling it of the `past`, and wait until it has."""
        for told in past:
            self._say(told)
        self._ask(Told(SetPosition(position), time.monotonic()))
        self._ask(Told(self.listener.lifecycle, time.monotonic()))
        self.live = True

    def try_out(self, told: Told) -> list[FromHost]:
        """Tell code that is not live of something; return its answers once it is done.

        Raises StrategyError where its process ends instead.
        """
        replies = self._answers_until(told, "there")
        return [answer for answers in replies for each, answer in answers if each is told]

    def stop(self) -> None:
        """Have it stop after everything that it was told, say its state once more, and end."""
        if not self.closed and not self._stopping:
            self._stopping = True
            self._say(Told(self.listener.lifecycle, self.listener.received_at))
            self._say(Question(GetState(), answered=self._ended))

    def ask_state(self, answered: Callable[[str | None], None]) -> None:
        """Have `answered` called with its state at this point, or None, on the thread of the session."""
        if self.closed:
            answered(self.state)
            return
        number = id(answered)
        self._asked[number] = answered

        def once(state: str | None) -> None:
            if asked := self._asked.pop(number, None):
                asked(state)

        if not self._stopping:
            self._say(Question(GetState(), self.listener.received_at, answered=once))

    def close(self) -> None:
        """End the host at once; nothing more is told or heard."""
        if not self.closed:
            self.closed = True
            self._close()
            for number in list(self._asked):
                if answered := self._asked.pop(number, None):
                    answered(self.state)

    def deliver(self, answers: list[Answer]) -> None:
        """Take what came from the host. On the thread of the exchange."""
        if self.live:
            if any(not isinstance(answer, Done) for _, answer in answers):
                self.listener.post(answers)
        else:
            self._starting.put(answers)

    def deliver_first(self, first: Loaded | Final) -> None:
        """Take what came of loading, or of a start that ended. On the thread of the exchange."""
        self._starting.put(first)

    def _ended(self, state: str | None) -> None:
        self.state = state if state is not None else self.state
        self.close()

    def _say(self, told: Told) -> None:
        if self.closed:
            if isinstance(told, Question):
                told.answered(self.state)
            return
        self.queue.append(told)
        if self.idle:
            self.idle = False
            self._wake()

    def _ask(self, asked: Told) -> None:
        """Tell something and act on the answers until it is done. Raises what was raised there."""
        for answers in self._answers_until(asked, "at the start"):
            self.listener.hear([each for each in answers if not isinstance(each[1], Failed | Done)])
            for _, answer in answers:
                if isinstance(answer, Failed):
                    raise failure_of(answer)

    def _answers_until(self, asked: Told, when: str) -> Iterator[list[Answer]]:
        """Tell something and give the answers, as they come, until it is done."""
        self._say(asked)
        deadline = time.monotonic() + START_SECONDS
        while True:
            answers = self._next(deadline, when)
            if isinstance(answers, Loaded):
                continue
            yield answers
            if any(told is asked and isinstance(answer, Done) for told, answer in answers):
                return

    def _next(self, deadline: float, when: str) -> list[Answer] | Loaded:
        try:
            answer = self._starting.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            self.close()
            raise StrategyTimedOut(f"its process did not answer for {START_SECONDS:g} s") from None
        if isinstance(answer, NotLoaded):
            raise StrategyCrashed(explain_refusal(answer))
        if isinstance(answer, Ending):
            error = StrategyQuarantined if answer.cause is Cause.FORBIDDEN_CALL else StrategyCrashed
            raise error(f"its process ended {when}: {answer.reason}")
        return answer


def placed(line: int | None, column: int | None, said: str) -> str:
    """Return what is said of a source with the place in it, where that is known."""
    if line is None:
        return said
    return f"line {line}: {said}" if column is None else f"line {line}, column {column}: {said}"


def explain_refusal(refused: NotLoaded) -> str:
    """Return why a source makes no strategy, and where."""
    return placed(refused.line, refused.column, refused.reason)


def failure_of(failed: Failed) -> StrategyCrashed | StrategyTimedOut:
    """Return a failure in the host as an error of this process, with the author's traceback as its note."""
    kind = StrategyTimedOut if failed.timed_out else StrategyCrashed
    said = f"{failed.hook} raised {failed.error}: {failed.message}".removesuffix(": ")
    error = kind(placed(failed.line, failed.column, said))
    error.add_note(failed.traceback)
    return error
