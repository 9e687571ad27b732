"""What a host says of the batch that is under way: checked, counted, and noted for its successor."""

import time

from models.market_data import Bar, Trade
from models.signal import Decision
from services.sandbox.budgets import Meter
from services.sandbox.ending import Cause, Ending
from services.sandbox.journal import Journal
from services.sandbox.link import Answer
from services.sandbox.protocol import Decided, Done, Failed, GetState, LogLine, ProtocolViolation, State
from services.sandbox.told import Told

MOST_DEATHS = 2

Said = Done | Decided | LogLine | Failed | State


class Hearing:
    """The batch under way, whose first event has the number `first`.

    The host `is_known` once it has answered market data. `is_again` if another host was told of the batch
    before. `ending` is why the host is to be killed for what it said; once it is `live`, so that it can,
    nothing is heard after that.
    """

    def __init__(self, journal: Journal, meter: Meter, open_signals: tuple[str, ...]) -> None:
        self.journal = journal
        self.under_way: list[Told] = []
        self.first = 1
        self.ending: Ending | None = None
        self.live = False
        self.is_again = self.is_known = False
        self._meter = meter
        self._open_signals = frozenset(open_signals)
        self._at = self._lines = 0  # how many events of the batch are answered; how often this one logged

    def hear(self, said: Said) -> Answer | None:
        """Take an answer; return it as it is to be handed on, or None. Raises ProtocolViolation."""
        if self._is_over:
            return None
        index = said.seq - self.first
        if not self._at <= index < len(self.under_way):
            raise ProtocolViolation(f"an answer to event {said.seq}, which is not under way")
        if index > self._at:
            self._at, self._lines = index, 0
        told = self.under_way[index]
        if isinstance(said, Done):
            return self._done(told, said)
        if isinstance(said, Decided):
            return self._decided(told, said)
        if isinstance(said, LogLine):
            return self._line(told, said)
        return self._failed_or_state(told, said)

    def abandon(self, at: int, *, own_fault: bool) -> list[Told]:
        """Give up the batch of a host that ended while it was `at` an event; return who wants a state.

        The successor is not told of what ended the host by its own fault, or again and again.
        """
        given_up, self.under_way = self.under_way, []
        # Where it said itself what is to be its end, that event is spoilt already, and not the one it was at.
        if self.ending is None and 0 <= (index := at - self.first) < len(given_up):
            struck = given_up[index]
            struck.deaths += 1
            struck.spoilt = own_fault or struck.deaths > MOST_DEATHS
        return [told for told in given_up if isinstance(told.event, GetState)]

    @property
    def _is_over(self) -> bool:
        return self.live and self.ending is not None

    def _done(self, told: Told, said: Done) -> Answer:
        if told is not self.under_way[-1]:
            raise ProtocolViolation(f"event {said.seq} is not the last of its batch")
        self.first += len(self.under_way)
        self._at = self._lines = 0
        self.is_known = self.is_known or isinstance(told.event, Bar | Trade)
        for each in self.under_way:
            each.done = True
        self.under_way = []
        return told, said

    def _decided(self, told: Told, said: Decided) -> Answer | None:
        if told.silent:
            return None
        if told.skip:
            told.skip -= 1
            return None
        if not told.warm_up:
            ending = self._meter.signal(told.heard + 1, time.monotonic())
            self._end(told, ending, spoils=self._meter.is_flood(told.heard + 1))
            if self._is_over:
                return None
            if said.signal_id not in self._open_signals:
                booked = Decision(action=said.action, price=said.price, quantity=said.quantity)
                told.booked += (booked,)
        told.heard += 1
        return told, said

    def _line(self, told: Told, said: LogLine) -> Answer | None:
        self._lines += 1
        is_past = self.is_again or told.warm_up
        kept, ending = self._meter.line(self._lines, time.monotonic(), is_past=is_past)
        self._end(told, ending, spoils=self._meter.is_flood_of_lines(self._lines))
        return (told, said) if kept and not told.silent and not told.done else None

    def _failed_or_state(self, told: Told, said: Failed | State) -> Answer | None:
        if isinstance(said, State):
            if not isinstance(told.event, GetState):
                raise ProtocolViolation("a state that nobody asked for")
            self.journal.answered(told, said.state)
        elif said.timed_out:
            self._end(told, Ending(Cause.CPU, f"{said.hook} took too long: {said.message}"))
        elif said.error == "MemoryError":
            self._end(told, Ending(Cause.OUT_OF_MEMORY, f"{said.hook} had no memory left"))
        return None if told.done else (told, said)

    def _end(self, told: Told, ending: Ending | None, *, spoils: bool = True) -> None:
        """Have the host killed for its answer to this event, which no other is told if that `spoils` it."""
        if ending is not None:
            told.spoilt = told.spoilt or spoils
            self.ending = self.ending or ending
