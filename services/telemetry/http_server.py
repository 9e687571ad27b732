"""The worker's HTTP servers for probes and Prometheus, on a thread of their own."""

import errno
import socket
from threading import Event, Thread
from typing import TYPE_CHECKING

import structlog

from models.errors import ConfigError
from services.telemetry.health import WorkerView

if TYPE_CHECKING:
    import uvicorn

_BACKLOG = 128
_GRACE_SECONDS = 1
REQUEST_SECONDS = 10.0
_NOT_OURS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}

log = structlog.get_logger(__name__)


class TelemetryServer:
    """Answers on the health port and on the metrics port; 0 switches one off.

    Both ports are open when `start` returns; who asks in the first 0.3 s waits until answers are possible.
    Who does not come to the end of a request within `request_seconds` is cut off.
    """

    def __init__(
        self,
        host: str,
        health_port: int,
        metrics_port: int,
        view: WorkerView,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._request_seconds = request_seconds
        self._host = host
        self._ports = {"HEALTH_PORT": health_port, "METRICS_PORT": metrics_port}
        self._view = view
        self._stop = Event()
        self._server: uvicorn.Server | None = None
        self._thread: Thread | None = None

    def start(self) -> None:
        """Open the ports and answer from now on. Raises ConfigError naming the port that cannot be had."""
        sockets: list[socket.socket] = []
        try:
            for variable, port in self._ports.items():
                if port:
                    sockets.append(_listen(self._host, port, variable))
        except ConfigError:
            _close(sockets)
            raise
        if sockets:
            self._thread = Thread(target=self._run, args=(sockets,), name="telemetry-http", daemon=True)
            self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Close the ports; false when the thread did not end within `timeout` seconds."""
        self._stop.set()
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self, sockets: list[socket.socket]) -> None:
        try:
            self._serve(sockets)
        except Exception:  # the worker goes on without its HTTP servers, and says so
            log.exception("http_server_failed")
        finally:
            _close(sockets)

    def _serve(self, sockets: list[socket.socket]) -> None:
        # A third of the worker's start-up time goes into these imports: here they hold up nothing else.
        import uvicorn  # noqa: PLC0415

        from services.telemetry.connections import bounded  # noqa: PLC0415
        from services.telemetry.routes import make_application  # noqa: PLC0415

        application = make_application(self._view, self._ports["METRICS_PORT"])
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                http=bounded(self._request_seconds),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        if not self._stop.is_set():
            self._server.run(sockets)


def _listen(host: str, port: int, variable: str) -> socket.socket:
    ipv6 = ":" in host
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    try:
        address = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0][4]
        dual = ipv6 and socket.has_dualstack_ipv6()
        listener = socket.create_server(address, family=family, backlog=_BACKLOG, dualstack_ipv6=dual)
        # Inherited by what it accepts; asyncio sets it only on sockets made another way, and without it an
        # answer waits for the peer's delayed acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, UnicodeError) as error:
        raise ConfigError(_why_not(error, host, port, variable)) from error
    return listener


def _why_not(error: OSError | UnicodeError, host: str, port: int, variable: str) -> str:
    if isinstance(error, socket.gaierror | UnicodeError) or error.errno in _NOT_OURS:
        return (
            f"HTTP_HOST: {host} is no address of this machine; choose 127.0.0.1, or 0.0.0.0 for all of them"
        )
    if error.errno == errno.EADDRINUSE:
        return (
            f"{variable}: port {port} of {host} is taken; stop the program that has it, choose another port, "
            "or 0 to do without this server"
        )
    if error.errno == errno.EACCES:
        return f"{variable}: this user may not open port {port}; choose one above 1023"
    return f"{variable}: port {port} of {host} cannot be opened: {error.strerror}; choose another port"


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()
