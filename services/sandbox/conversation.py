"""One session's talk with its hosts, one after the other, on the thread of the exchange."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from models.market_data import Trade
from services.sandbox.budgets import Budgets
from services.sandbox.client import HostProcess
from services.sandbox.ending import Cause, Ending
from services.sandbox.exchange import Exchange
from services.sandbox.hearing import Hearing, Said
from services.sandbox.journal import Journal
from services.sandbox.link import Answer, Link, explain_refusal
from services.sandbox.protocol import (
    FromHost,
    GetState,
    Loaded,
    LogLine,
    NotLoaded,
    NotSealed,
    ProtocolViolation,
    Sealed,
    batch_frame,
    frame,
)
from services.sandbox.told import EventEncoder, Told
from services.sandbox.wire import Wire

MOST_IN_A_BATCH = 200
LAGGING_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Hall:
    """What all conversations share."""

    exchange: Exchange
    encoder: EventEncoder
    budgets: Budgets


class Conversation:
    """Sends a link's events in batches, one under way at a time, and hands on what is answered.

    `wire` is the host that runs, if one does; `killed_for` why it was killed. While the talk is `held`, that
    is called in place of sending the next batch.
    """

    def __init__(self, link: Link, hall: Hall) -> None:
        self.link = link
        self.journal = Journal()
        self.wire: Wire | None = None
        self.killed_for: Ending | None = None
        self.held: Callable[[], None] | None = None
        self._hall = hall
        self._again: deque[Told] = deque()
        self._asked: list[Told] = []
        self._hearing: Hearing

    def begin(self, process: HostProcess) -> None:
        """Talk with this host from now on: it gets the source, then what its predecessor had."""
        if self.link.closed:
            process.kill()
            process.close()
            return
        self.wire, self.killed_for = Wire(process, self._hall.budgets, time.monotonic()), None
        self._hearing = Hearing(self.journal, self.wire.meter, self.link.load.open_signals)
        self._hall.exchange.enter(self)
        self._hall.exchange.busy.add(self)

    def end(self, *, own_fault: bool) -> None:
        """Hear its last words; what it was at is not told again where it ended by its `own_fault`."""
        wire = self.wire
        if wire is None:
            return
        self._take(wire.read_to_the_end())
        self._leave(wire)
        self._asked = self._hearing.abandon(wire.call_under_way()[0], own_fault=own_fault)
        self._asked += [told for told in self._again if isinstance(told.event, GetState)]
        self._again.clear()
        wire.process.close()
        self.wire, self.link.idle = None, False

    def take_over(self, other: "Conversation", first: Told) -> None:
        """Go on with the host of another conversation, which knows what this one does; tell it this first."""
        old, new = self.wire, other.wire
        if old is not None:
            self._leave(old)
            old.process.kill()
            old.process.close()
        if new is not None:
            other._leave(new)  # noqa: SLF001 — one of our own kind
            other.wire = None
            hearing = Hearing(self.journal, new.meter, other.link.load.open_signals)
            hearing.first, hearing.is_known = other._hearing.first, other._hearing.is_known  # noqa: SLF001
            self.wire, self.killed_for, self._hearing = new, None, hearing
            self._again = deque([first])
            self._hall.exchange.enter(self)

    @property
    def is_known(self) -> bool:
        """Whether it is no newcomer: its host starts, is gone, or has answered market data."""
        return self.wire is None or not self.link.live or self._hearing.is_known

    def fileno(self) -> int:
        """Return the descriptor of the channel."""
        return -1 if self.wire is None else self.wire.process.channel.fileno()

    def pump(self) -> None:
        """Send the next batch, if none is under way."""
        wire = self.wire
        if wire is None or not wire.loaded or not wire.is_open or self._hearing.under_way:
            return
        if self.held is not None:
            self.held()
        elif batch := self._next_batch():
            self._tell(wire, batch)
        else:
            self._hall.exchange.busy.discard(self)
            wire.meter.idle()
            self.link.idle = True
            if self.link.queue:  # since we looked
                self.link.idle = False
                self._hall.exchange.schedule(self)

    def tell_alone(self, told: Told) -> None:
        """Tell one thing now, while nothing is under way."""
        if self.wire is not None:
            self.journal.note([told], self.link.code_hash)
            self._tell(self.wire, [told])

    def write(self) -> None:
        """Go on with what was not written whole."""
        if self.wire is not None:
            self.wire.write()
            self._hall.exchange.wants_to_write(self, wants=self.wire.is_behind)

    def read(self) -> None:
        """Take what the host says."""
        wire = self.wire
        if wire is None:
            return
        self._take(wire.read())
        if not wire.is_open:
            self._hall.exchange.leave(self.fileno())  # it has ended, which is told by its zygote
        else:
            self._hall.exchange.schedule(self)

    def look(self, now: float, *, is_late: bool) -> None:
        """Hold the call under way to its budgets."""
        wire = self.wire
        if wire is None or self.killed_for is not None:
            return
        if is_late:
            wire.meter.idle()
        was_interrupted = wire.meter.interrupted
        if ending := wire.meter.watch(*wire.call_under_way(), now):
            self.kill(ending)
        elif wire.meter.interrupted and not was_interrupted:
            wire.process.interrupt()

    def look_at_share(self, now: float) -> None:
        """Hold the host to its share of a core."""
        if self.wire is not None and (ending := self.wire.meter.share(now)):
            self.kill(ending)

    def kill(self, ending: Ending) -> None:
        """End the host for this reason."""
        if self.wire is not None and self.killed_for is None:
            self.killed_for = ending
            self.wire.process.kill()
            self._leave(self.wire)  # the rest is read when it has ended: until then it may flood its channel

    def _leave(self, wire: Wire) -> None:
        self._hall.exchange.leave(wire.process.channel.fileno())
        self._hall.exchange.busy.discard(self)

    def _next_batch(self) -> list[Told]:
        """Return what is told next, all of it of the past or none."""
        link = self.link
        self._hearing.is_again = bool(self._again)
        if self._again:
            return _taken(self._again)
        relieve(link)
        batch = _taken(link.queue)
        self.journal.note(batch, link.code_hash)
        if link.live and self.journal.wants_state:
            link.queue.appendleft(Told(GetState()))
        return batch

    def _tell(self, wire: Wire, batch: list[Told]) -> None:
        self._hearing.under_way = batch
        self._hall.exchange.busy.add(self)
        events = [self._hall.encoder.encode(told.event) for told in batch]
        self._send(wire, batch_frame(self._hearing.first, events, warm_up=batch[0].warm_up))

    def _send(self, wire: Wire, data: bytes) -> None:
        wire.send(data)
        if wire.is_behind:
            self._hall.exchange.wants_to_write(self, wants=True)

    def _take(self, said: Iterable[FromHost]) -> None:
        answers: list[Answer] = []
        self._hearing.live = self.link.live
        try:
            for each in said:
                if self.wire is not None and self.wire.loaded and isinstance(each, Said):
                    if answer := self._hearing.hear(each):
                        answers.append(answer)
                else:
                    self._prepare(each)
        except ProtocolViolation as violation:
            self.kill(Ending(Cause.PROTOCOL, str(violation)))
        if answers:
            self.link.deliver(answers)
        if self._hearing.ending is not None and self.link.live:
            self.kill(self._hearing.ending)

    def _prepare(self, said: FromHost) -> None:
        """Take what a host says before its strategy is made."""
        wire = self.wire
        if wire is None or isinstance(said, LogLine):
            return
        if isinstance(said, Sealed):
            self._send(wire, frame(self.link.load))
        elif isinstance(said, Loaded):
            wire.loaded = True
            wire.meter.loaded((said.deadline_ms or 0) / 1000)
            self.journal.warmup_bars = said.warmup_bars
            if self.link.live:
                self._again, self.link.condition = deque(in_order(self.journal.again(), self._asked)), None
            else:
                self.link.deliver_first(said)
        elif isinstance(said, NotLoaded):
            if not self.link.live:
                self.link.deliver_first(said)
            self.kill(Ending(Cause.LEFT, explain_refusal(said)))
        elif isinstance(said, NotSealed):
            self.kill(Ending(Cause.LEFT, said.reason))
        else:
            raise ProtocolViolation(f"{type(said).__name__} is out of turn")


def _taken(queue: deque[Told]) -> list[Told]:
    """Take a batch off a queue."""
    batch: list[Told] = []
    while queue and len(batch) < MOST_IN_A_BATCH and (not batch or queue[0].warm_up == batch[0].warm_up):
        batch.append(queue.popleft())
    return batch


def in_order(again: list[Told], asked: list[Told]) -> list[Told]:
    """Return what is told again, with the questions for the state between the events where they were."""
    told = list(again)
    for question in asked:
        places = (place for place, each in enumerate(told) if each.number > question.number)
        told.insert(next(places, len(told)), question)
    return told


def relieve(link: Link) -> None:
    """Leave out trades for newer ones where too much waits for a host."""
    link.lagging = len(link.queue) > LAGGING_EVENTS
    if link.lagging:
        link.conflated += conflate(link.queue)


def conflate(queue: deque[Told]) -> int:
    """Keep only the newest trade of each symbol in a queue that others append to; return how many went."""
    waiting = [queue.popleft() for _ in range(len(queue))]
    newest = {told.event.symbol: told for told in waiting if isinstance(told.event, Trade)}
    kept = [
        told for told in waiting if not isinstance(told.event, Trade) or newest[told.event.symbol] is told
    ]
    queue.extendleft(reversed(kept))
    return len(waiting) - len(kept)
