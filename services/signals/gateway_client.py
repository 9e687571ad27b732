"""Speaks to the gateway: builds requests, signs them, reads replies, and tells what was surely not sent.

May be used by several threads; each request has a session with one kept connection to itself.
"""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from urllib.parse import quote, urlsplit
from uuid import uuid4

import requests
from requests import PreparedRequest
from urllib3.exceptions import HTTPError

from models.errors import ConfigError, NotSent, Uncertain
from models.signal import Signal
from services.signals.exchange import Exchange
from services.signals.failure import describe
from services.signals.transport import HttpSession, make_authorities
from services.signals.verdict import Reply
from services.signals.wire import encode, sign

LONGEST_REPLY = 64 * 1024
EXECUTE = "/internal/execute"
EXECUTIONS = "/internal/executions/"


@dataclass(frozen=True)
class GatewayOptions:
    """Where the gateway is and how to speak to it.

    `url` may have a path, which all requests then begin with. `timeout` is the time for one request and
    its reply together, in seconds. `ca_file` names authorities (PEM) to trust instead of the usual ones.
    A connection idle for `reuse_seconds` is not used again: servers close theirs, many after 5 s, and a
    request written into a closing one is lost in doubt.
    """

    url: str
    timeout: float = 5.0
    token: str | None = field(default=None, repr=False)
    hmac_secret: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    reuse_seconds: float = 3.0


class GatewayClient:
    """The gateway over HTTP."""

    def __init__(
        self,
        options: GatewayOptions,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises ConfigError when the URL or the token cannot be used."""
        self._url = _checked_url(options.url)
        self._headers = _standing_headers(options.token)
        self._options = options
        self._wall_clock = wall_clock
        self._authorities: ssl.SSLContext | None = None
        if self._url.startswith("https:"):
            self._authorities = make_authorities(options.ca_file)
        self._channels: list[_Channel] = []
        self._free: list[_Channel] = []

    def execute(self, signal: Signal) -> Reply:
        """POST a signal. Raises NotSent, Uncertain, or Refused when it cannot be written as JSON."""
        body = encode(signal)
        with self._channel() as channel:
            request = channel.post.copy()
            request.body = body
            request.headers["Content-Length"] = str(len(body))
            request.headers["Idempotency-Key"] = signal.signal_id
            return self._exchange(channel, request, body)

    def read_back(self, signal_id: str) -> Reply:
        """GET what became of a signal. Raises NotSent or Uncertain."""
        url = self._url + EXECUTIONS + quote(signal_id, safe="")
        with self._channel() as channel:
            request = channel.session.prepare_request(requests.Request("GET", url, headers=self._headers))
            return self._exchange(channel, request, b"")

    def probe(self) -> Reply:
        """Read back a signal that never was. Raises NotSent or Uncertain."""
        return self.read_back(str(uuid4()))

    def close(self) -> None:
        """Close all kept connections."""
        for channel in self._channels.copy():
            channel.session.close()

    def _exchange(self, channel: "_Channel", request: PreparedRequest, body: bytes) -> Reply:
        if self._options.hmac_secret is not None:
            timestamp = str(int(self._wall_clock()))
            request.headers["X-Timestamp"] = timestamp
            request.headers["X-Signature"] = sign(
                self._options.hmac_secret, timestamp, str(request.method), request.path_url, body
            )
        exchange = channel.exchange
        exchange.begin(self._options.timeout)
        try:
            response = channel.session.send(request, stream=True, proxies={}, allow_redirects=False)
        except (requests.RequestException, HTTPError, HTTPException, OSError) as error:
            if exchange.has_left:
                raise Uncertain(describe(error, "read")) from error
            raise NotSent(describe(error, "connect")) from error
        return _read(response)

    @contextmanager
    def _channel(self) -> Iterator["_Channel"]:
        """Give the channel used last of those that are free; there are as many as were used at one time."""
        try:
            channel = self._free.pop()
        except IndexError:
            channel = _Channel(self._url, self._headers, self._authorities, self._options.reuse_seconds)
            self._channels.append(channel)
        try:
            yield channel
        finally:
            self._free.append(channel)


class _Channel:
    """What one request at a time needs: a session, its deadline, and a request to copy for every signal."""

    def __init__(
        self, url: str, headers: dict[str, str], authorities: ssl.SSLContext | None, reuse_seconds: float
    ) -> None:
        self.exchange = Exchange(reuse_seconds)
        self.session = HttpSession(self.exchange, authorities)
        self.session.headers.clear()
        self.post = self.session.prepare_request(
            requests.Request("POST", url + EXECUTE, headers={**headers, "Content-Type": "application/json"})
        )


def _read(response: requests.Response) -> Reply:
    body, flaw = b"", None
    try:
        body = response.raw.read(LONGEST_REPLY + 1, decode_content=True)
        if len(body) > LONGEST_REPLY:
            body, flaw = b"", f"a body of more than {LONGEST_REPLY} bytes"
    except (HTTPError, HTTPException, OSError) as error:
        flaw = describe(error, "read")
    if flaw is not None:
        response.close()
    return Reply(
        status=response.status_code,
        body=body,
        retry_after=response.headers.get("Retry-After"),
        flaw=flaw,
    )


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError("GATEWAY_URL must be like http://host:3000 or https://host/path")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError("GATEWAY_URL must hold no user, query or fragment; use GATEWAY_TOKEN to log in")
    return url.rstrip("/")


def _standing_headers(token: str | None) -> dict[str, str]:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "strategy-worker"}
    if token is not None:
        if not token.isascii() or not token.isprintable():
            raise ConfigError("GATEWAY_TOKEN must be printable ASCII: it travels in an HTTP header")
        headers["Authorization"] = f"Bearer {token}"
    return headers
