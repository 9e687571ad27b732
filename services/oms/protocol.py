"""The words of proto/order.proto, and the one stream they are spoken on.

The only file that imports what `make proto` generates. Needs requirements-oms.txt.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Protocol

import grpc

from services.oms.generated.order_pb2 import (
    BUY,
    LIMIT,
    MARKET,
    SELL,
    OrderRequest,
    OrderResponse,
    OrderStatus,
)
from services.oms.generated.order_pb2_grpc import OrderServiceStub, add_OrderServiceServicer_to_server

__all__ = ["BUY", "LIMIT", "MARKET", "SELL", "OrderRequest", "OrderResponse", "OrderStatus"]

LARGEST_QUANTITY = 2**63 - 1
# Where the server's token travels.
AUTHORIZATION = "authorization"


class Answers(Protocol):
    """The near end of a stream: answers as they come. Raises grpc.RpcError when it ends badly."""

    def __iter__(self) -> Iterator[OrderResponse]:
        """Wait for the next answer, and the next."""

    def cancel(self) -> bool:
        """End the stream from this side."""


class OrderService(Protocol):
    """The far end of streams; each call has a thread of its own."""

    def stream(
        self, requests: Iterator[OrderRequest], context: grpc.ServicerContext
    ) -> Iterator[OrderResponse]:
        """Answer what one client asks, until one of the two ends it."""


def open_stream(
    channel: grpc.Channel, requests: Iterator[OrderRequest], token: str | None, *, wait_for_ready: bool
) -> Answers:
    """Begin a stream; `requests` is read by a thread of grpc's for as long as the stream lives.

    With `wait_for_ready` it begins when somebody answers, otherwise it fails at once where nobody does.
    """
    stub = OrderServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
    metadata = ((AUTHORIZATION, f"Bearer {token}"),) if token is not None else None
    answers: Answers = stub.StreamOrders(requests, metadata=metadata, wait_for_ready=wait_for_ready)
    return answers


def add_service(server: grpc.Server, service: OrderService) -> None:
    """Have a server answer order.OrderService."""
    named: Any = SimpleNamespace(StreamOrders=service.stream)
    add_OrderServiceServicer_to_server(named, server)  # type: ignore[no-untyped-call]  # generated
