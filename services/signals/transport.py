"""requests, held to one deadline for a whole exchange: name, connection, TLS, request, headers and body.

The timeouts of requests count anew for every read, so a server that drips bytes holds a thread for ever.
Here every operation on the socket is given what is left of the one deadline. No watchdog is needed, and
nothing shuts a socket that another request may have by now.

An `Exchange` also remembers whether any byte of the request may have left. That alone tells a signal that
was surely not sent from one that may have been executed, whatever exception comes out at the top.
"""

import http.client
import io
import socket
import ssl
import time
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from services.signals.dialling import connect, resolve
from services.signals.exchange import Exchange


class HttpSession(requests.Session):
    """A requests.Session for one thread that obeys its exchange and nothing of the environment.

    Cookies, redirects, proxies and .netrc are not used; a redirect is an answer like any other.
    """

    def __init__(self, exchange: Exchange, authorities: ssl.SSLContext | None) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self.adapters.clear()
        self.mount("http://", _Adapter(exchange, None))
        self.mount("https://", _Adapter(exchange, authorities))

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 — the signature of requests
        """Follow nothing: requests would read the whole body of a redirect, even one it is not to follow."""
        return None


def make_authorities(ca_file: str | None) -> ssl.SSLContext:
    """Make the context that checks a gateway's certificate, by a file of authorities or the bundled ones.

    Made once: reading the bundle takes longer than a request.
    """
    return ssl.create_default_context(cafile=ca_file or DEFAULT_CA_BUNDLE_PATH)


class _Adapter(HTTPAdapter):
    def __init__(self, exchange: Exchange, authorities: ssl.SSLContext | None) -> None:
        self._exchange = exchange
        self._authorities = authorities
        self._pool: ConnectionPool | None = None
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(
        self,
        connections: int,
        maxsize: int,
        block: bool = False,  # noqa: FBT001, FBT002 — the signature of requests
        **pool_kwargs: Any,
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._authorities, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": partial(_Pool, self._exchange),
            "https": partial(_TlsPool, self._exchange),
        }

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> ConnectionPool:
        """Look the connection up once: there is one gateway, and no proxy."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:  # noqa: ARG002 — as above
        """Return the path, which is all that is sent where there is no proxy."""
        return request.path_url

    def close(self) -> None:
        self._pool = None
        super().close()

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the connection as it is: its context holds the authorities, and checks name and chain."""


class _Pool(HTTPConnectionPool):
    def __init__(self, exchange: Exchange, host: str, port: int | None = None, **kwargs: Any) -> None:
        super().__init__(host, port, **kwargs)
        self.ConnectionCls = partial(_Connection, exchange)  # type: ignore[assignment]  # is only called


class _TlsPool(HTTPSConnectionPool):
    def __init__(self, exchange: Exchange, host: str, port: int | None = None, **kwargs: Any) -> None:
        super().__init__(host, port, **kwargs)
        self.ConnectionCls = partial(_TlsConnection, exchange)  # type: ignore[assignment]  # is only called


class _Connection(HTTPConnection):
    """A connection whose every operation ends with the exchange."""

    def __init__(self, exchange: Exchange, host: str, port: int | None = None, **kwargs: Any) -> None:
        super().__init__(host, port, **kwargs)
        self._exchange = exchange
        self._used_at = 0.0
        self._pieces: list[bytes] | None = None
        self.response_class = partial(_Response, exchange)  # type: ignore[assignment]  # is only called

    @property
    def is_connected(self) -> bool:
        """Whether the connection may be used again: open, nothing unread, and not idle for long."""
        idle = time.monotonic() - self._used_at
        return idle < self._exchange.reuse_seconds and super().is_connected

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request in one piece: whoever gets its head by itself is woken up twice."""
        pieces: list[bytes] = []
        self._pieces = pieces
        try:
            super().request(*args, **kwargs)
        finally:
            self._pieces = None
        self.send(b"".join(pieces))

    def send(self, data: Any) -> None:
        if self._pieces is not None:
            self._pieces.append(data)
            return
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self._exchange.left())
        self._exchange.has_left = True
        self._used_at = time.monotonic()
        super().send(data)

    def _new_conn(self) -> socket.socket:
        try:
            found = resolve(self._dns_host, self.port, self._exchange.left())
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        try:
            return connect(found, self._exchange)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection to {self.host}: {error}") from error


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Response(http.client.HTTPResponse):
    def __init__(self, exchange: Exchange, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(_Readable(sock, exchange), *args, **kwargs)  # type: ignore[arg-type]  # makefile is all it uses


class _Readable:
    """The one thing that a response wants of a socket: a file to read from."""

    def __init__(self, sock: socket.socket, exchange: Exchange) -> None:
        self._sock = sock
        self._exchange = exchange

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._exchange))


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, exchange: Exchange) -> None:
        self._sock = sock
        self._exchange = exchange
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._exchange.left())
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()
