"""The process that serves a paper gateway: it answers, finishes what it began, and ends well."""

import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.errors import ConfigError
from services.db_client import Database
from services.paper.server import listening, url_of
from tests.integration.paper_gateway import Client
from tests.support import RunningProcess, eventually, running_process


@contextmanager
def gateway_process(
    database_url: str, folder: Path, delay_seconds: float = 0.0
) -> Iterator[tuple[RunningProcess, Client]]:
    told = folder / "url"
    program = "tests.integration.served_paper_gateway"
    command = [sys.executable, "-m", program, database_url, str(delay_seconds), str(told)]
    database = Database(database_url)
    with running_process(command) as process:
        eventually(lambda: told.exists() and told.read_text(), 30)
        yield process, Client(told.read_text(), database)
    database.close()


def test_sigterm_ends_it_with_exit_code_0(database_url: str, tmp_path: Path) -> None:
    with gateway_process(database_url, tmp_path) as (process, gateway):
        assert gateway.get("/api/portfolio").status_code == 200
        process.terminate()
        assert process.wait(10) == 0
        assert process.output == ""


def test_sigterm_lets_a_request_under_way_finish(database_url: str, tmp_path: Path) -> None:
    with (
        gateway_process(database_url, tmp_path, 1.0) as (process, gateway),
        ThreadPoolExecutor(1) as thread,
    ):
        session = gateway.start_session()
        started = time.monotonic()
        reply = thread.submit(gateway.buy, session, 1, 10)
        eventually(lambda: time.monotonic() - started > 0.3)
        process.terminate()
        assert reply.result().status_code == 201
        assert process.wait(10) == 0


def test_a_port_that_is_taken_is_a_wrong_configuration() -> None:
    with listening("127.0.0.1", 0) as first:
        port = int(url_of(first).rpartition(":")[2])
        with pytest.raises(ConfigError, match=f"port {port} of 127"), listening("127.0.0.1", port):
            pass


def test_a_host_that_is_not_ours_is_a_wrong_configuration() -> None:
    with pytest.raises(ConfigError, match=r"203\.0\.113\.1"), listening("203.0.113.1", 0):
        pass


def test_replies_do_not_wait_for_acknowledgements() -> None:
    """Without TCP_NODELAY every reply of two packets waits 40 ms for the client's kernel."""
    with listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
