"""Orders on their way into a stream: which of them may have left, and which surely have not."""

import threading
from collections import deque
from typing import Self

from services.oms.protocol import OrderRequest
from services.signals.oms_orders import Order


class Outgoing:
    """What grpc reads the requests of one stream from, on a thread of its own.

    It takes the next one only when the last is in the hands of the transport, so an order that it has not
    taken has surely not left.
    """

    def __init__(self) -> None:
        self._waiting: deque[Order] = deque()
        self._changed = threading.Condition()
        self._ended = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> OrderRequest:
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
            if self._ended:
                raise StopIteration
            order = self._waiting.popleft()
            order.written = True
            return order.request

    def put(self, order: Order) -> bool:
        """Queue an order; false when the stream has ended."""
        with self._changed:
            if not self._ended:
                self._waiting.append(order)
                self._changed.notify()
            return not self._ended

    def withdraw(self, order: Order) -> bool:
        """Take an order back; false when it may have left."""
        with self._changed:
            if order in self._waiting:
                self._waiting.remove(order)
            return not order.written

    def end(self) -> list[Order]:
        """Give grpc nothing more; return what it has not taken."""
        with self._changed:
            self._ended = True
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        return left
