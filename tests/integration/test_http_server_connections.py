"""Who connects and says nothing, or says it slowly, keeps nobody from an answer."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic

import pytest
import requests

from services.telemetry.connections import MOST_CONNECTIONS
from services.telemetry.http_server import TelemetryServer
from tests.integration.served_worker import HOST, Served, SomeWorker, get, serving
from tests.support import eventually, free_port

HALF = b"GET /health HTTP/1.1\r\nHost: here\r\n"


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as served:
        assert served.get("/health").status_code == 200
        yield served


def connect(stack: ExitStack, port: int, said: bytes = b"") -> socket.socket:
    connection = stack.enter_context(socket.create_connection((HOST, port), timeout=10))
    connection.sendall(said)
    return connection


def is_cut_off(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(100) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def test_an_answer_comes_however_many_connections_wait(served: Served) -> None:
    with ExitStack() as stack:
        waiting = [
            connect(stack, served.health_port, HALF if number % 2 else b"")
            for number in range(3 * MOST_CONNECTIONS)
        ]
        assert served.get("/health").status_code == 200
        eventually(lambda: is_cut_off(waiting[0]))
        assert not is_cut_off(waiting[-1])


def test_a_request_that_does_not_come_to_its_end_is_cut_off() -> None:
    port = free_port()
    server = TelemetryServer(HOST, port, 0, SomeWorker(), request_seconds=0.5)
    server.start()
    with ExitStack() as stack:
        stack.callback(server.stop, 10)
        silent = connect(stack, port)
        slow = connect(stack, port, HALF)
        began = monotonic()
        while not is_cut_off(slow):
            try:
                slow.sendall(b"X-More: and more\r\n")
            except OSError:
                break
            assert monotonic() - began < 10
        eventually(lambda: is_cut_off(silent))
        assert get(port, "/health").status_code == 200


def test_a_kept_connection_may_ask_again(served: Served) -> None:
    with requests.Session() as session:
        for _ in range(3):
            assert session.get(f"http://{HOST}:{served.health_port}/health", timeout=10).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/ready", "/sessions", "/metrics"])
def test_the_head_alone_is_given_with_the_same_status(served: Served, path: str) -> None:
    head = requests.head(f"http://{HOST}:{served.health_port}{path}", timeout=10)
    assert (head.status_code, head.content) == (200, b"")
    served.worker.stuck = ("data",)
    assert requests.head(f"http://{HOST}:{served.health_port}/health", timeout=10).status_code == 503
