"""A gateway that does as it is told: keeps every request as it came, answers by script, misbehaves on demand.

Plain sockets, a thread per connection, so that it can drip, hang, cut and reset wherever a test wants it.
Without a script it is friendly: it fills every signal once, repeats its answer to a repeated id, and tells
what it knows.

    with GatewayStub() as stub:
        stub.script(Answer(503, headers={"Retry-After": "1"}))   # then friendly again
        ...
        assert [received.json["signalId"] for received in stub.posts] == ["…", "…"]
"""

import contextlib
import json
import socket
import ssl
import struct
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, Self

import trustme

HANDSHAKE_SECONDS = 10.0
ENDING_SECONDS = 10.0


@dataclass(frozen=True)
class Received:
    """A request as it came. `headers` are by name in lower case; `at` is monotonic seconds."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def signal_id(self) -> str:
        """The signal it is about."""
        return self.headers.get("idempotency-key") or self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Answer:
    """What to do about one request.

    After `delay` seconds the status line, `headers` and `body` are sent, or `raw` in place of all three
    (b"" sends nothing); where `drip` is above 0, the first `burst` bytes at once and then one byte every
    `drip` seconds. Then the connection is kept, closed, reset, or left hanging.
    """

    status: int = 201
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0
    burst: int = 0
    raw: bytes | None = None
    end: Literal["keep", "close", "reset", "hang"] = "keep"

    @classmethod
    def of(cls, status: int, document: object, **more: Any) -> Self:
        """Answer with a JSON document."""
        return cls(status, json.dumps(document).encode(), **more)

    @property
    def wire(self) -> bytes:
        if self.raw is not None:
            return self.raw
        headers = {"Content-Type": "application/json", "Content-Length": str(len(self.body)), **self.headers}
        if self.end == "close":
            headers["Connection"] = "close"
        phrase = HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else "Told So"
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


SILENT_DROP = Answer(raw=b"", end="close")
SILENT_RESET = Answer(raw=b"", end="reset")
HANG = Answer(raw=b"", end="hang")


class GatewayStub:
    """The stub, listening from its making to the end of its `with` block.

    Connections are served, closed at once, left hanging, or told some bytes and left hanging. `executed` is
    the memory of `friendly`, reply by signal id: give it to another stub, and that goes on where this ended.
    With `tls`, `ca_file` holds the authority that its certificate is from.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        tls: bool = False,
        on_accept: Literal["serve", "close", "hang"] | bytes = "serve",
        executed: dict[str, bytes] | None = None,
    ) -> None:
        self.executed: dict[str, bytes] = {} if executed is None else executed
        self.requests: list[Received] = []
        self.connections = 0
        self.on_accept = on_accept
        self.answer: Callable[[Received], Answer] = self.friendly
        self._script: deque[Answer] = deque()
        self._ended = threading.Event()
        self._open: dict[int, socket.socket] = {}
        self._servers: list[threading.Thread] = []
        self._context: ssl.SSLContext | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority = trustme.CA()
            authority.issue_cert("localhost", "127.0.0.1").configure_cert(self._context)
            self._folder = tempfile.TemporaryDirectory(prefix="gateway-stub-")
            self.ca_file = Path(self._folder.name, "ca.pem")
            authority.cert_pem.write_to_path(str(self.ca_file))
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._acceptor = threading.Thread(target=self._accept, name="gateway-stub", daemon=True)
        self._acceptor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def open_connections(self) -> int:
        """How many connections this side has not closed."""
        return len(self._open)

    @property
    def posts(self) -> list[Received]:
        """The requests to execute something, in the order they came."""
        return [received for received in list(self.requests) if received.method == "POST"]

    @property
    def gets(self) -> list[Received]:
        """The requests that ask: read backs and probes."""
        return [received for received in list(self.requests) if received.method == "GET"]

    def script(self, *answers: Answer) -> None:
        """Answer the next requests so, one each; after them `answer` decides again."""
        self._script.extend(answers)

    def friendly(self, received: Received) -> Answer:
        """Do what a gateway with idempotent execution does."""
        known = self.executed.get(received.signal_id)
        if received.method == "GET":
            return Answer.of(404, {"error": "unknown_signal"}) if known is None else Answer(200, known)
        if known is not None:
            return Answer(201, known, headers={"Idempotent-Replayed": "true"})
        return Answer(201, self.execute(received))

    def execute(self, received: Received) -> bytes:
        """Note a signal as executed, as `friendly` will tell later; return the body that says so."""
        asked = received.json
        report = {
            "status": "filled",
            "orderId": f"order-{len(self.executed) + 1}",
            "filledQuantity": asked["quantity"],
            "filledPrice": asked["price"],
            "balance": 100_000.0,
        }
        return self.executed.setdefault(received.signal_id, json.dumps(report).encode())

    def close(self) -> None:
        """Cut every connection and stop listening; the port can be taken again at once.

        What was being answered is finished first, so that nothing is executed afterwards. Once is enough.
        """
        if self._ended.is_set():
            return
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for connection in list(self._open.values()):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for server in self._servers:
            server.join(ENDING_SECONDS)
        if self._folder is not None:
            self._folder.cleanup()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open[self.connections] = connection
            server = threading.Thread(
                target=self._serve, args=(connection, self.connections), name="gateway-stub", daemon=True
            )
            self._servers.append(server)
            server.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        # Whatever the client does to its connection is its right; the tests look at what it sent.
        with contextlib.suppress(OSError, ValueError):
            if isinstance(self.on_accept, bytes):
                connection.sendall(self.on_accept)
            if self.on_accept not in {"serve", "close"}:
                self._ended.wait()
            elif self.on_accept == "serve":
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._context is None:
                    self._converse(connection, number)
                else:
                    connection.settimeout(HANDSHAKE_SECONDS)
                    with self._context.wrap_socket(connection, server_side=True) as secured:
                        self._open[number] = secured
                        secured.settimeout(None)
                        self._converse(secured, number)
        connection.close()
        del self._open[number]

    def _converse(self, connection: socket.socket, number: int) -> None:
        with connection.makefile("rb") as stream:
            while (received := _read(stream, number)) is not None:
                self.requests.append(received)
                answer = self._script.popleft() if self._script else self.answer(received)
                self._ended.wait(answer.delay)
                self._send(connection, answer)
                if answer.end == "hang":
                    self._ended.wait()
                if answer.end == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if answer.end != "keep":
                    return

    def _send(self, connection: socket.socket, answer: Answer) -> None:
        if not answer.drip:
            connection.sendall(answer.wire)
            return
        connection.sendall(answer.wire[: answer.burst])
        for byte in answer.wire[answer.burst :]:
            connection.sendall(bytes([byte]))
            if self._ended.wait(answer.drip):
                return


def _read(stream: Any, connection: int) -> Received | None:
    """Read one request; None when the connection ended before it did."""
    line = stream.readline()
    if not line:
        return None
    at = time.monotonic()
    method, path, _ = line.decode("latin-1").split(" ", 2)
    headers = {}
    while (line := stream.readline()) not in {b"\r\n", b"\n", b""}:
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", 0))
    body = stream.read(length)
    if len(body) < length:
        return None
    return Received(method, path, headers, body, at, connection)
