"""Where orders are executed: one thread that owns all of them, however many streams they come by."""

import heapq
import random
import threading
import time
from collections import OrderedDict, deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from services.oms.far_end import FarEnd, Last
from services.oms.journal import Entry, Journal
from services.oms.options import Faults, Rules
from services.oms.plan import Step, plan
from services.oms.prices import Prices
from services.oms.protocol import OrderRequest, OrderResponse, OrderStatus

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_WAIT = 1.0
UNDER_WAY = {OrderStatus.PENDING, OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED}

log = structlog.get_logger(__name__)


class Taken:
    """An order that was taken: what is to be said of it yet, what was said last, and to whom."""

    __slots__ = ("dropped", "end", "last", "muted", "order", "order_id", "repeated", "steps")

    def __init__(self, order: OrderRequest, steps: list[Step], end: FarEnd | None) -> None:
        self.order = order
        self.order_id = str(uuid4())
        self.steps = deque(steps)
        self.end = end
        self.last: OrderResponse | None = None
        self.dropped = self.muted = self.repeated = False


class Exchange:
    """Takes orders, fills them by the rules and tells the stream that asked last.

    An id that comes again is the same order: it is told where it stands, and not executed again. The latest
    `remembered` ids are known, for as long as the process lives; with a `journal` those of earlier ones too,
    of which the rest of what was not done is cancelled.
    """

    def __init__(
        self, rules: Rules, faults: Faults, prices: Prices, remembered: int, journal: Journal | None = None
    ) -> None:
        self._journal = journal
        self._rules = rules
        self._faults = faults
        self._prices = prices
        self._remembered = remembered
        self._random = random.Random(faults.seed)  # noqa: S311 — repeatable, not secret
        self._orders: OrderedDict[str, Taken] = OrderedDict()
        self._due: list[tuple[float, int, Taken]] = []
        self._numbered = 0
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="oms-exchange", daemon=True)

    def start(self) -> None:
        """Begin to work, with the orders of the journal."""
        for entry in [] if self._journal is None else self._journal.read().values():
            self._recall(entry)
        self._thread.start()

    def stop(self) -> None:
        """Leave everything as it stands."""
        self._stop.set()
        self._inbox.put(lambda: None)
        self._thread.join()
        if self._journal is not None:
            self._journal.close()

    def submit(self, order: OrderRequest, end: FarEnd) -> None:
        """Take an order that came by a stream."""
        self._inbox.put(lambda: self._take(order, end))

    def complete(self, end: FarEnd) -> None:
        """Note that no more orders come by a stream: it ends when all that did are done."""
        self._inbox.put(lambda: self._complete(end))

    def _run(self) -> None:
        while not self._stop.is_set():
            wait = self._due[0][0] - time.monotonic() if self._due else LONGEST_WAIT
            try:
                task = self._inbox.get(timeout=min(max(wait, 0.0), LONGEST_WAIT))
                task()
            except Empty:
                pass  # something is due, or nobody wants anything
            except Exception:  # the loop of a thread: one order must not stop the others
                log.exception("oms_order_failed")
            while self._due and self._due[0][0] <= time.monotonic():
                self._advance(heapq.heappop(self._due)[2], due=True)

    def _take(self, order: OrderRequest, end: FarEnd) -> None:
        known = self._orders.get(order.id)
        if known is None:
            taken = Taken(order, plan(order, self._prices.price_of(order), self._rules), end)
            taken.dropped = self._strikes(self._faults.drop_rate)
            taken.muted = self._strikes(self._faults.mute_rate)
            taken.repeated = self._strikes(self._faults.repeat_rate)
            self._remember(taken)
            end.unanswered.add(order.id)
            self._advance(taken)
        elif known.order == order:
            self._tell_again(known, end)
        else:
            refusal = Step(OrderStatus.REJECTED, message="the id is that of another order")
            end.say(_respond(Taken(order, [], end), refusal))

    def _recall(self, entry: Entry) -> None:
        """Know an order of an earlier process again; what it had not done by then it will not do."""
        taken = Taken(entry.order, [], None)
        taken.order_id, taken.last = entry.said.order_id, entry.said
        self._remember(taken)
        if entry.said.status in UNDER_WAY:
            said = entry.said
            self._say(
                taken, Step(OrderStatus.CANCELLED, said.filled_quantity, said.filled_price, "the OMS ended")
            )

    def _tell_again(self, known: Taken, end: FarEnd) -> None:
        """Tell where an order stands, and from now on tell it here."""
        if known.end is not None:
            known.end.unanswered.discard(known.order.id)
        known.end, known.muted, known.repeated = end, False, False
        if known.last is not None:
            end.say(known.last)
        if known.steps:
            end.unanswered.add(known.order.id)

    def _advance(self, taken: Taken, *, due: bool = False) -> None:
        """Do what is to be done with an order now, and come back for the rest."""
        while taken.steps:
            if taken.steps[0].is_fill and self._rules.fill_seconds and not due:
                self._numbered += 1
                moment = time.monotonic() + self._rules.fill_seconds
                heapq.heappush(self._due, (moment, self._numbered, taken))
                return
            due = False
            self._say(taken, taken.steps.popleft())
        if taken.end is not None and not taken.muted:
            taken.end.unanswered.discard(taken.order.id)
            self._end_when_done(taken.end)

    def _say(self, taken: Taken, step: Step) -> None:
        taken.last = _respond(taken, step)
        if self._journal is not None:
            self._journal.write(Entry(taken.order, taken.last))
        if taken.end is None or taken.muted:
            return
        for _ in range(2 if taken.repeated else 1):
            taken.end.say(taken.last)
        if taken.dropped and step.status == OrderStatus.ACCEPTED:
            taken.end.end(Last.DROPPED)
            taken.end = None

    def _complete(self, end: FarEnd) -> None:
        end.complete = True
        self._end_when_done(end)

    def _end_when_done(self, end: FarEnd) -> None:
        if end.complete and not end.unanswered:
            end.end(Last.FINISHED)

    def _remember(self, taken: Taken) -> None:
        self._orders[taken.order.id] = taken
        if len(self._orders) > self._remembered:
            self._orders.popitem(last=False)

    def _strikes(self, rate: float) -> bool:
        return rate > 0 and self._random.random() < rate


def _respond(taken: Taken, step: Step) -> OrderResponse:
    return OrderResponse(
        order_id=taken.order_id,
        request_id=taken.order.id,
        status=step.status,
        filled_price=step.price,
        filled_quantity=step.filled,
        message=step.message,
        timestamp=int(time.time() * 1000),
    )
