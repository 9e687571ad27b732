"""The reference OMS over gRPC: order.OrderService, with a thread for each open stream."""

import hmac
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import grpc

from models.errors import ConfigError
from services.oms.exchange import Exchange
from services.oms.far_end import FarEnd, Last
from services.oms.journal import Journal
from services.oms.options import OmsServerOptions
from services.oms.prices import OrderPrices, Prices
from services.oms.protocol import AUTHORIZATION, OrderRequest, OrderResponse, add_service

GRACE_SECONDS = 1.0
# How often a client may ping a connection on which nothing happens.
PING_MS = 10_000


class OmsServer:
    """A server and its exchange, which remembers orders until the process ends, or for good in a journal."""

    def __init__(self, options: OmsServerOptions, prices: Prices | None = None) -> None:
        """Raises ConfigError when the journal cannot be written."""
        self._options = options
        self._prices = prices or OrderPrices()
        journal = None if options.journal is None else Journal(options.journal)
        self._exchange = Exchange(options.rules, options.faults, self._prices, options.remembered, journal)
        self._server = grpc.server(
            ThreadPoolExecutor(options.streams, thread_name_prefix="oms-stream"),
            options=[("grpc.so_reuseport", 0), ("grpc.http2.min_ping_interval_without_data_ms", PING_MS)],
            maximum_concurrent_rpcs=options.streams,
        )
        self._open: set[FarEnd] = set()
        add_service(self._server, self)

    def start(self) -> str:
        """Begin to listen; return host:port. Raises ConfigError when port or certificate cannot be had."""
        options = self._options
        host = f"[{options.host}]" if ":" in options.host else options.host
        try:
            port = self._listen(f"{host}:{options.port}")
        except (RuntimeError, OSError) as error:
            raise ConfigError(
                f"port {options.port} of {options.host} cannot be opened: {error}; choose another one"
            ) from error
        self._prices.start()
        self._exchange.start()
        self._server.start()
        return f"{host}:{port}"

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """End all streams, cut them after `grace` seconds, and leave orders as they stand."""
        stopped = self._server.stop(grace)
        for end in list(self._open):
            end.end(Last.GONE)
        stopped.wait()
        self._exchange.stop()
        self._prices.close()

    def stream(
        self, requests: Iterator[OrderRequest], context: grpc.ServicerContext
    ) -> Iterator[OrderResponse]:
        """Take what a client orders, and tell what becomes of it."""
        self._authenticate(context)
        end = FarEnd()
        if not context.add_callback(lambda: end.end(Last.GONE)):
            return
        context.send_initial_metadata(())
        threading.Thread(target=self._hear, args=(requests, end), name="oms-hears", daemon=True).start()
        self._open.add(end)
        try:
            yield from end.answers()
        finally:
            self._open.discard(end)
        if end.last is Last.DROPPED:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the stream was dropped on purpose")

    def _hear(self, requests: Iterator[OrderRequest], end: FarEnd) -> None:
        try:
            for order in requests:
                self._exchange.submit(order, end)
        except grpc.RpcError:
            return  # the client went away: what it ordered goes on
        self._exchange.complete(end)

    def _authenticate(self, context: grpc.ServicerContext) -> None:
        token = self._options.token
        if token is None:
            return
        given = dict(context.invocation_metadata()).get(AUTHORIZATION, "")
        if not hmac.compare_digest(str(given).encode(), f"Bearer {token}".encode()):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is not the one that is wanted here")

    def _listen(self, address: str) -> int:
        certificate, key = self._options.certificate, self._options.key
        if certificate is None or key is None:
            return self._server.add_insecure_port(address)
        pair = (_read(key), _read(certificate))
        return self._server.add_secure_port(address, grpc.ssl_server_credentials([pair]))


def serve(server: OmsServer, on_ready: Callable[[str], None]) -> None:
    """Run a server until SIGTERM or SIGINT. Call from the main thread. Raises ConfigError as `start` does."""
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    on_ready(server.start())
    while not ended.wait(1.0):
        pass  # a wait without an end would keep Python from running signal handlers on some platforms
    server.stop()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
