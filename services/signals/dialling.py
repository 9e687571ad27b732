"""From the gateway's name to a connected socket, within the deadline of an exchange."""

import socket
from collections.abc import Sequence
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from services.signals.exchange import Exchange

CONNECT_SECONDS = 3.0

Found = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]]


def resolve(host: str, port: int, seconds: float) -> Found:
    """Look a name up, within `seconds`. Raises socket.gaierror.

    getaddrinfo cannot be interrupted, so when it takes too long it is left behind in its thread.
    """
    with_numbers = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        return with_numbers(flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        answer: SimpleQueue[Found | OSError] = SimpleQueue()
    Thread(target=_look_up, args=(host, port, answer), name="resolver", daemon=True).start()
    try:
        found = answer.get(timeout=seconds)
    except Empty:
        raise socket.gaierror(socket.EAI_AGAIN, "no answer in time") from None
    if isinstance(found, OSError):
        raise found
    return found


def _look_up(host: str, port: int, answer: "SimpleQueue[Found | OSError]") -> None:
    try:
        answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except OSError as error:
        answer.put(error)
    except UnicodeError as error:
        answer.put(socket.gaierror(socket.EAI_NONAME, str(error)))


def connect(found: Found, exchange: Exchange) -> socket.socket:
    """Connect to the first address that answers. Raises OSError.

    The socket's timeout is what is left by then: a TLS handshake takes it as its own deadline.
    """
    failure: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(min(exchange.left(), CONNECT_SECONDS))
            sock.connect(address)
            sock.settimeout(exchange.left())
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure
