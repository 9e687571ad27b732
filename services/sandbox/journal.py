"""What the successor of a host is told, so that nothing is lost and nothing comes twice."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from models.execution import ExecutionReport
from models.market_data import Bar, Trade
from models.position import Position
from models.session import Lifecycle
from services.sandbox.protocol import GetState, Reduced, SetPosition, SetState
from services.sandbox.told import Told

MOST_WITHOUT_STATE = 500
ASK_EVERY = 1000


class Handover(NamedTuple):
    """What other code goes on with: the state, if any is kept, the position, the past, and the start."""

    state: str | None
    position: Position
    past: tuple[Told, ...]
    start: Lifecycle


class Journal:
    """The last state that a strategy answered, and everything it was told since. For one thread.

    It `is_current` while nothing was told since.

    A strategy that keeps no state is told the last events again, `warmup_bars` of them at least.
    """

    def __init__(self) -> None:
        self.warmup_bars = 0
        self.state: str | None = None
        self.restored: str | None = None
        self._position = Position()
        self._start: Lifecycle | None = None
        self._entries: deque[Told] = deque()
        self._numbered = 0
        self._asked_at = 0
        self.is_current = False

    def note(self, told: Iterable[Told], version: str) -> None:
        """Keep what code with this hash is told now."""
        for each in told:
            each.version = version
            self._numbered += 1
            self.is_current = False
            each.number = self._numbered
            if isinstance(each.event, SetPosition):
                self._position = each.event.position
            elif isinstance(each.event, SetState):
                self.state = each.event.state
            elif not isinstance(each.event, GetState) and not each.silent:
                self._entries.append(each)

    @property
    def wants_state(self) -> bool:
        """Whether so much was told since the strategy was last asked for its state that it should be."""
        if self._numbered - self._asked_at < ASK_EVERY:
            return False
        self._asked_at = self._numbered
        return True

    def answered(self, asked: Told, state: str) -> None:
        """Take a state; what was told before it was asked for need not be told again."""
        self._asked_at = self._numbered
        self.is_current = asked.number == self._numbered
        if state != "{}":
            self.state = state
            while self._entries and self._entries[0].number < asked.number:
                self._forget_first()
        most = max(MOST_WITHOUT_STATE, 2 * self.warmup_bars)
        while len(self._entries) > most and self._entries[0].number < asked.number:
            self._forget_first()

    def again(self) -> list[Told]:
        """Return what a new host is told before it is told of anything new."""
        first: list[Told] = []
        if self.state is not None:
            first.append(Told(SetState(self.state), silent=True))
        first.append(Told(SetPosition(self._position), silent=True))
        if self._start is not None:  # it is in the journal no more, and starts over what it has
            first.append(Told(self._start, silent=True))
            first.append(Told(SetPosition(self._position), silent=True))
        entries = [each for each in self._entries if not each.spoilt]
        for each in entries:
            each.skip = each.heard
        last: list[Told] = []
        if len(entries) < len(self._entries):
            last.append(Told(SetPosition(self.position()), silent=True))
        return [*first, *entries, *last]

    def handover(self) -> Handover | None:
        """Return what other code can go on with; None before the start, or where the last state is older."""
        entries = list(self._entries)
        start = next((each.event for each in entries if _is_start(each)), self._start)
        if not isinstance(start, Lifecycle) or not self.is_current:
            return None
        past = tuple(
            Told(each.event, warm_up=True, silent=True)
            for each in entries
            if self.state is None and isinstance(each.event, Bar | Trade)
        )
        return Handover(self.state, self.position(), past, start)

    def begin_anew(self, handover: Handover) -> None:
        """Other code has taken over: it was told what was handed over."""
        self._position, self._start = handover.position, handover.start
        self._entries = deque(Told(each.event, warm_up=True, number=each.number) for each in handover.past)
        for each in self._entries:
            each.done = True

    def position(self) -> Position:
        """Return what the strategy shows as its position once it has answered everything."""
        position = self._position
        for each in self._entries:
            position = _after(position, each)
        return position

    def _forget_first(self) -> None:
        told = self._entries.popleft()
        if isinstance(told.event, Lifecycle):
            self._start = told.event
        self._position = _after(self._position, told)


def _is_start(told: Told) -> bool:
    return isinstance(told.event, Lifecycle) and told.event.moment == "start"


def _after(position: Position, told: Told) -> Position:
    for decision in told.booked:
        position = position.after_signal(decision)
    if isinstance(told.event, ExecutionReport):
        return position.after_report(told.event)
    if isinstance(told.event, Reduced):
        return position.after_reduction(told.event.action, told.event.by)
    return position
