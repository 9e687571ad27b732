"""A gateway that fills what it is sent, sells nothing that is not held, and remembers everything."""

import json
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

CREATED, BAD_REQUEST, OK = 201, 400, 200
DUST = 1e-9


class RememberingGateway:
    """Listens on a free port of 127.0.0.1 from `with` on. `bodies` are the requests of each session."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[bytes]] = defaultdict(list)
        self._held: dict[str, float] = defaultdict(float)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Execute one order, or say why not. A session's orders come one after the other."""
        order = json.loads(body)
        session, quantity = order["sessionId"], order["quantity"]
        self.bodies[session].append(body)
        held = self._held[session]
        if order["action"] == "SELL" and quantity > held:
            return BAD_REQUEST, {"error": "insufficient_position", "message": f"it holds {held:g}"}
        rest = held + quantity if order["action"] == "BUY" else held - quantity
        self._held[session] = rest if abs(rest) > DUST * quantity else 0.0
        filled = {"filledQuantity": quantity, "filledPrice": order["price"]}
        return CREATED, {"status": "filled", "orderId": order["signalId"], **filled}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        execute = self.answer

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self._send(*execute(self.rfile.read(int(self.headers["Content-Length"]))))

            def do_GET(self) -> None:
                self._send(OK, {})

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 — the name of the library
                pass

            def _send(self, status: int, answer: dict[str, Any]) -> None:
                body = json.dumps(answer).encode()
                lines = (f"HTTP/1.1 {status} .", "Content-Type: application/json")
                head = "\r\n".join((*lines, f"Content-Length: {len(body)}", "", ""))
                self.wfile.write(head.encode() + body)

        return Handler
