"""Has signals executed by an OMS: one order for each signal, over one stream for all of them.

The OMS cannot be asked what became of an order, nor told to cancel one. So an order that may have left and
has no final answer in time is in doubt for good, unless the OMS knows a repeated id again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from models.errors import NotSent, Refused, Uncertain
from models.execution import PartialFill
from models.signal import Signal
from services.oms.protocol import BUY, LARGEST_QUANTITY, LIMIT, MARKET, SELL, OrderRequest
from services.signals.oms_orders import Order, OrderBook
from services.signals.oms_stream import OmsStream, StreamOptions
from services.signals.verdict import Blocked, Executed, Rejected, Reply, Verdict

CANNOT_BE_ASKED = "the OMS cannot be asked what became of an order"


@dataclass(frozen=True, kw_only=True)
class OmsOptions:
    """How to have orders executed.

    `order_timeout` is the time from sending an order to its final answer, in seconds. `idempotent` says that
    the OMS knows a repeated id again and answers it as before: then a stream that ends gives its orders back
    at once, to be sent again; otherwise they wait for an answer on the next stream.
    """

    stream: StreamOptions
    order_type: Literal["market", "limit"] = "market"
    order_timeout: float = 30.0
    idempotent: bool = False


class OmsClient:
    """The OMS over gRPC, behind the port of the gateway.

    Each order that waits for its end holds one of the courier's threads.
    """

    def __init__(self, options: OmsOptions, filled: Callable[[PartialFill], None] = lambda _: None) -> None:
        """Tell `filled`, which must not wait, of parts. Raises ConfigError for unreadable authorities."""
        self._options = options
        self._orders = OrderBook(filled=filled)
        self._stream = OmsStream(options.stream, self._orders.take, self._stream_ended)

    @property
    def fault(self) -> str | None:
        """Why no order can be sent now; None when one can."""
        return self._stream.fault

    def start(self) -> None:
        """Begin to connect, so that the first order finds a stream."""
        self._stream.start()

    def execute(self, signal: Signal) -> Verdict:
        """Send an order and wait for its end. Raises NotSent, Uncertain, or Refused for what is no order."""
        request = make_order(signal, self._options.order_type)
        if (refusal := self._stream.refusal) is not None:
            return Blocked(reason=refusal)
        order = self._orders.open(request)
        if order.end is None:
            self._send(order)
        return _verdict(order.end)

    def read_back(self, signal_id: str) -> Verdict:
        """Return an answer that came after its time. Raises Uncertain where none has."""
        return _verdict(self._orders.end_of(signal_id))

    def first_probe(self, seconds: float) -> Reply:
        """Wait up to `seconds` until there is something to say, then `probe`."""
        self._stream.wait_for_news(seconds)
        return self.probe()

    def probe(self) -> Reply:
        """Say whether the OMS has a stream for us. Raises NotSent when there is none."""
        if self._stream.refusal is not None:
            return Reply(status=HTTPStatus.UNAUTHORIZED)
        if (fault := self._stream.fault) is not None:
            raise NotSent(fault)
        return Reply(status=HTTPStatus.OK)

    def close(self) -> None:
        """End the stream; orders that wait for an answer are in doubt."""
        self._stream.close()
        for order in self._orders.under_way():
            self._orders.fail(order, Uncertain("the worker stopped before the OMS answered"))

    def _send(self, order: Order) -> None:
        """Put an order into the stream and wait until it has an end."""
        try:
            outgoing = self._stream.put(order)
        except NotSent as error:
            self._orders.fail(order, error)
            return
        seconds = self._options.order_timeout
        if order.ended.wait(seconds):
            return
        if outgoing.withdraw(order):
            self._orders.fail(order, NotSent(f"the OMS took nothing within {seconds:g} s"))
            return
        said = order.progress
        self._orders.fail(
            order,
            Uncertain(
                f"no final answer within {seconds:g} s: {said.status} was said,"
                f" {said.filled} of {order.request.quantity} filled"
            ),
        )

    def _stream_ended(self, reason: str, unsent: list[Order]) -> None:
        for order in unsent:
            self._orders.fail(order, NotSent(reason))
        if self._options.idempotent:
            for order in self._orders.under_way():
                if order.written:
                    self._orders.fail(order, Uncertain(reason))


def make_order(signal: Signal, order_type: Literal["market", "limit"]) -> OrderRequest:
    """Put a signal into the OMS's words; the same signal always gives the same order.

    What closes a position of an execution is a market order always. Raises Refused for a quantity that is
    not a whole number of units: it is not rounded.
    """
    quantity = int(signal.quantity)
    if quantity != signal.quantity:
        raise Refused(f"fractional_quantity: the OMS takes whole units only, not {signal.quantity}")
    if quantity > LARGEST_QUANTITY:
        raise Refused(f"quantity_too_large: the OMS takes up to {LARGEST_QUANTITY} units")
    is_limited = order_type == "limit" and not _closes_execution(signal)
    return OrderRequest(
        id=signal.signal_id,
        symbol=signal.symbol,
        side=BUY if signal.action == "BUY" else SELL,
        type=LIMIT if is_limited else MARKET,
        price=signal.price,
        quantity=quantity,
        strategy_id=signal.strategy_id,
        timestamp=int(signal.timestamp.timestamp() * 1000),
    )


def _closes_execution(signal: Signal) -> bool:
    told = signal.metadata
    return told.get("executionId") == signal.session_key and told.get("orderType") == "MARKET"


def _verdict(end: Executed | Rejected | NotSent | Uncertain | None) -> Executed | Rejected:
    if end is None:
        raise Uncertain(CANNOT_BE_ASKED)
    if isinstance(end, NotSent | Uncertain):
        raise end
    return end
