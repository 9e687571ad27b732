"""Whose turn it is: which session a thread is calling, with which event, and whether the thread still may."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from models.execution import ExecutionReport
from models.gap import Gap
from models.market_data import Bar, Trade
from models.session import Lifecycle, SessionIdentity, SessionState


@dataclass(frozen=True, slots=True, eq=False)
class Errand:
    """Something that the worker wants done with a session, on the thread that may call its strategy.

    One with `many_calls` makes each under the deadline, and may itself take longer.
    """

    perform: Callable[[Any], None]
    many_calls: bool = False

    @property
    def identity(self) -> str:
        """Two errands are never told apart: no signal answers one."""
        return "errand"


Letter = ExecutionReport | Gap | Lifecycle | Errand
"""What reaches a session by the mailbox."""

InputEvent = Bar | Trade | Letter


class Callee(Protocol):
    """What is called: a session, as far as its supervisor has to do with it. `deadline` is in seconds."""

    identity: SessionIdentity
    deadline: float

    def end(self, state: SessionState, reason: str) -> None:
        """Tell the strategy of nothing more, and keep the reason."""


class Retired(BaseException):
    """Ends a thread that came back from a handler after another one had taken its place."""


class Tenure:
    """One thread's right to call strategies. `thread` is its identifier once it runs."""

    __slots__ = ("retired", "thread")

    def __init__(self) -> None:
        self.thread = 0
        self.retired = False


class Turn:
    """Which session is being called with which event; no session while nobody's code runs.

    Written by the thread that calls, read by the supervisor. `received_at` is when the event came, in
    monotonic seconds.
    """

    __slots__ = ("event", "received_at", "session", "tenure")

    def __init__(self) -> None:
        self.session: Callee | None = None
        self.event: InputEvent | None = None
        self.received_at = time.monotonic()
        self.tenure = Tenure()
