"""Serves the paper gateway over HTTP until it is told to stop."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from models.errors import ConfigError

BACKLOG = 1024
KEEP_ALIVE_SECONDS = 75  # clients should close first: a request that meets a closing end is lost
GRACE_SECONDS = 5


def run(app: FastAPI, *, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve what `create_app` made until SIGTERM or SIGINT, then finish the requests under way and return.

    `port` 0 takes a free one; `on_ready` is called with the URL once requests are answered. Call from the
    main thread. Raises ConfigError when the port cannot be had.
    """
    with listening(host, port) as listener:
        server = GatewayServer(app, lambda: on_ready(url_of(listener)))
        with _ended_by_signals(server):
            server.run([listener])


class GatewayServer(uvicorn.Server):
    """A uvicorn that says when it answers. `should_exit` ends it; `run(sockets)` may be in any thread."""

    def __init__(self, app: FastAPI, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_DroppableProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, then say so."""
        await super().startup(sockets)
        self._on_ready()


class _DroppableProtocol(H11Protocol):
    """Shows each request its connection, as `request.state.transport`, for the fault of a dropped reply."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Open a port, 0 for any free one. Raises ConfigError when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"port {port} of {host} cannot be opened: {reason}; choose another one") from error
    # What is accepted inherits this, and asyncio would not: it only knows sockets made with IPPROTO_TCP.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener


def url_of(listener: socket.socket) -> str:
    """Return where a listening socket is to be found."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the server also before and after uvicorn listens to them.

    It raises them once more when it has ended: without this the process would die of that, not exit with 0.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    earlier = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
