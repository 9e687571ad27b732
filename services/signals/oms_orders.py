"""Orders that went to the OMS, by their id: who waits for an answer, and what answers mean to them."""

import threading
from collections import OrderedDict
from collections.abc import Callable

import structlog

from models.errors import NotSent, Uncertain
from models.execution import PartialFill
from services.oms.protocol import OrderRequest, OrderResponse
from services.signals.oms_answers import Progress, judge_answer
from services.signals.verdict import Executed, Rejected

# Orders that ended and are remembered, so that what is said about them later is understood.
REMEMBERED = 10_000

log = structlog.get_logger(__name__)

End = Executed | Rejected | NotSent | Uncertain


class Order:
    """One attempt at an order. `progress` is what was said of it until now, also after an earlier attempt.

    `written` is true once it may have left. An end that is Uncertain is not final: a later answer replaces
    it.
    """

    __slots__ = ("end", "ended", "progress", "request", "written")

    def __init__(self, request: OrderRequest, progress: Progress) -> None:
        self.request = request
        self.progress = progress
        self.written = False
        self.end: End | None = None
        self.ended = threading.Event()


class OrderBook:
    """Every order under way, and the latest of those that ended. For several threads.

    `filled` is told what an order that goes on was filled until now; it must not wait.
    """

    def __init__(
        self, remembered: int = REMEMBERED, filled: Callable[[PartialFill], None] = lambda _: None
    ) -> None:
        self._under_way: dict[str, Order] = {}
        self._ended: OrderedDict[str, Order] = OrderedDict()
        self._remembered = remembered
        self._filled = filled
        self._lock = threading.Lock()

    def open(self, request: OrderRequest) -> Order:
        """Return an order to be sent; one in doubt that was answered meanwhile has its end already."""
        with self._lock:
            earlier = self._ended.get(request.id)
            if earlier is not None and not isinstance(earlier.end, Uncertain):
                return earlier
            progress = Progress() if earlier is None else earlier.progress
            order = self._under_way[request.id] = Order(request, progress)
            return order

    def end_of(self, request_id: str) -> End | None:
        """Return how an order ended, as far as that is remembered."""
        with self._lock:
            order = self._ended.get(request_id)
            return None if order is None else order.end

    def under_way(self) -> list[Order]:
        """Return the orders that somebody waits for."""
        with self._lock:
            return list(self._under_way.values())

    def fail(self, order: Order, error: NotSent | Uncertain) -> None:
        """End the wait for an answer, unless there is one."""
        with self._lock:
            if order.end is None:
                self._end(order, error)

    def take(self, answer: OrderResponse) -> None:
        """Note an answer with the order that it is for."""
        with self._lock:
            key = answer.request_id
            order = self._under_way.get(key) or self._ended.get(key)
            if order is None:
                log.warning("oms_answer_unmatched", **_shown(answer))
            elif order.end is None or isinstance(order.end, Uncertain):
                self._note(order, answer)
            else:
                log.info("oms_answer_repeated", **_shown(answer))

    def _note(self, order: Order, answer: OrderResponse) -> None:
        if order.end is not None:
            log.warning("oms_answer_late", in_doubt_because=str(order.end), **_shown(answer))
        try:
            said = judge_answer(order.request.quantity, order.progress, answer)
        except Uncertain as error:
            log.error("oms_answer_contradicts", reason=str(error), **_shown(answer))  # noqa: TRY400 — no crash
            self._end(order, error)
            return
        if isinstance(said, Progress):
            order.progress = said
            if said.filled and said.price is not None:
                self._filled(
                    PartialFill(
                        signal_id=order.request.id,
                        filled_quantity=float(said.filled),
                        filled_price=said.price,
                    )
                )
        else:
            self._end(order, said)

    def _end(self, order: Order, end: End) -> None:
        """Keep an order among those that ended; an attempt that never left is as if it had not been made."""
        key = order.request.id
        self._under_way.pop(key, None)
        order.end = end
        if not isinstance(end, NotSent):
            self._ended[key] = order
            self._ended.move_to_end(key)
        if len(self._ended) > self._remembered:
            self._ended.popitem(last=False)
        order.ended.set()


def _shown(answer: OrderResponse) -> dict[str, object]:
    return {
        "signal_id": answer.request_id,
        "order_id": answer.order_id,
        "status": answer.status,
        "filled_quantity": answer.filled_quantity,
    }
