"""A gateway that answers 201 to every POST and notes when it came: as quick as Python can, in one thread."""

import re
import selectors
import socket
import time
from typing import NamedTuple, Self

from benchmarks.feed import PATIENCE_SECONDS
from benchmarks.rows import MeasurementError

BODY = b'{"status":"filled"}'
REPLY = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
KEY = re.compile(rb"\r\nidempotency-key: *([^\r]+)", re.IGNORECASE)
RECEIVE_BYTES = 64 * 1024


class Arrival(NamedTuple):
    """One request: its headers, when all of it was there, when its answer had left (monotonic seconds)."""

    arrived_at: float
    answered_at: float
    head: bytes

    @property
    def key(self) -> bytes | None:
        """Its Idempotency-Key, if it has one."""
        found = KEY.search(self.head)
        return found and found[1]


class GatewayStub:
    """Answers only while `serve` runs: the caller's own thread does the work."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._received: dict[socket.socket, bytes] = {}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for connection in (self._listener, *self._received):
            connection.close()

    def expect(self, count: int) -> list[Arrival]:
        """Serve until so many requests were answered. Raises MeasurementError when they do not come."""
        arrivals = self.serve(count, PATIENCE_SECONDS)
        if len(arrivals) != count:
            raise MeasurementError(f"{len(arrivals)} of {count} requests reached the gateway")
        return arrivals

    def serve(self, count: int, seconds: float) -> list[Arrival]:
        """Serve for so long, or until so many requests were answered; return what came."""
        arrivals: list[Arrival] = []
        ending = time.monotonic() + seconds
        while len(arrivals) < count and (left := ending - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    arrivals += self._read(key.fileobj)
        return arrivals

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> list[Arrival]:
        """Take what a connection sent; answer when the request is whole."""
        data = connection.recv(RECEIVE_BYTES)
        if not data:
            self._selector.unregister(connection)
            del self._received[connection]
            connection.close()
            return []
        received = self._received[connection] + data
        head, end, body = received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            self._received[connection] = received
            return []
        arrived_at = time.monotonic()
        self._received[connection] = b""
        connection.sendall(REPLY)
        return [Arrival(arrived_at, time.monotonic(), head)] if head.startswith(b"POST ") else []
