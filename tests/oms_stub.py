"""An OMS that says what a test has it say, and the means to speak to one quickly.

Without a script it is friendly: it fills every order at its price, and remembers nothing.

    with OmsStub() as stub:
        stub.answers = lambda order: []                       # then silent
        ...
        stub.say(stub.orders[0], OrderStatus.FILLED, 10)      # later, on the newest stream
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Thread
from typing import Any, Self

import grpc

from services.oms.far_end import FarEnd, Last
from services.oms.options import Faults, OmsServerOptions, Rules
from services.oms.protocol import OrderRequest, OrderResponse, OrderStatus, add_service
from services.oms.server import OmsServer
from services.signals.oms_client import OmsClient, OmsOptions
from services.signals.oms_stream import StreamOptions

# As in the worker, but ten times as fast.
QUICK_STREAM: dict[str, Any] = {"reconnect": (0.1, 0.5), "patience": 0.2, "settling": 0.02}


def told(order: OrderRequest, status: int, quantity: int = 0, price: float = 0.0) -> OrderResponse:
    """An answer to an order."""
    fields: dict[str, Any] = {"status": status, "filled_quantity": quantity, "filled_price": price}
    return OrderResponse(order_id=f"oms-{order.id}", request_id=order.id, **fields)


class OmsStub:
    """An OMS on a port of 127.0.0.1. `answers` says what an order is told; `orders` is what it got."""

    def __init__(self, port: int = 0) -> None:
        self.orders: list[OrderRequest] = []
        self.streams: list[FarEnd] = []
        self.opened_at: list[float] = []
        self.cuts_at_once = False
        self.reads = True
        self.answers: Callable[[OrderRequest], list[OrderResponse]] = self.friendly
        self._server = grpc.server(ThreadPoolExecutor(16))
        add_service(self._server, self)
        self.address = f"127.0.0.1:{self._server.add_insecure_port(f'127.0.0.1:{port}')}"
        self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cut every stream and stop listening."""
        self._server.stop(0).wait()

    def friendly(self, order: OrderRequest) -> list[OrderResponse]:
        """Fill an order."""
        return [told(order, OrderStatus.ACCEPTED), told(order, OrderStatus.FILLED, order.quantity, 101.0)]

    def say(self, order: OrderRequest, status: int, quantity: int = 0) -> None:
        """Tell something of an order on the newest stream."""
        self.streams[-1].say(told(order, status, quantity, 101.0))

    def cut(self) -> None:
        """End the newest stream."""
        self.streams[-1].end(Last.DROPPED)

    def stream(
        self, requests: Iterator[OrderRequest], context: grpc.ServicerContext
    ) -> Iterator[OrderResponse]:
        """Serve one client."""
        end = FarEnd()
        context.add_callback(lambda: end.end(Last.GONE))
        self.streams.append(end)
        self.opened_at.append(time.monotonic())
        if self.cuts_at_once:
            self.cut()
        if self.reads:
            Thread(target=self._hear, args=(requests, end), daemon=True).start()
        yield from end.answers()
        context.abort(grpc.StatusCode.UNAVAILABLE, "cut")

    def _hear(self, requests: Iterator[OrderRequest], end: FarEnd) -> None:
        try:
            for order in requests:
                self.orders.append(order)
                for answer in self.answers(order):
                    end.say(answer)
        except grpc.RpcError:
            return


def make_client(address: str, stream: dict[str, Any] | None = None, **options: Any) -> OmsClient:
    """Make a client that connects again at once, not a second later, but for what `stream` changes."""
    stream_options = StreamOptions(address=address, **{**QUICK_STREAM, **(stream or {})})
    return OmsClient(OmsOptions(stream=stream_options, **{"order_timeout": 15.0, **options}))


@contextmanager
def serving_oms(rules: Rules | None = None, faults: Faults | None = None, **options: Any) -> Iterator[str]:
    """Run the reference OMS for a block; gives its address."""
    server = OmsServer(
        OmsServerOptions(rules=rules or Rules(), faults=faults or Faults(), **{"port": 0, **options})
    )
    address = server.start()
    try:
        yield address
    finally:
        server.stop(0.0)
