"""What probes, Prometheus and people see of a worker, over real HTTP."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from models.errors import ConfigError
from services.telemetry.health import Health, Readiness
from services.telemetry.http_server import TelemetryServer
from services.telemetry.logs import configure_logging
from services.telemetry.metrics import make_registry
from tests.support import REPOSITORY, eventually, free_port

HOST = "127.0.0.1"


@dataclass
class SomeWorker:
    """A worker that says what a test has it say."""

    registry: CollectorRegistry = field(default_factory=make_registry)
    stuck: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    broken: bool = False

    def health(self) -> Health:
        if self.broken:
            raise RuntimeError("broken on purpose")
        return Health({"control": 0.5, "data": 12.3456}, self.stuck)

    def readiness(self) -> Readiness:
        return Readiness(self.missing)

    def sessions(self) -> list[dict[str, Any]]:
        return self.rows


@dataclass(frozen=True)
class Served:
    """A worker and where it answers."""

    worker: SomeWorker
    server: TelemetryServer
    health_port: int
    metrics_port: int

    def get(self, path: str) -> requests.Response:
        return get(self.health_port, path)


def get(port: int, path: str) -> requests.Response:
    return requests.get(f"http://{HOST}:{port}{path}", timeout=10)


@contextmanager
def serving(*, health: bool = True, metrics: bool = True) -> Iterator[Served]:
    worker = SomeWorker()
    ports = free_port() if health else 0, free_port() if metrics else 0
    server = TelemetryServer(HOST, *ports, worker)
    server.start()
    try:
        yield Served(worker, server, *ports)
    finally:
        assert server.stop(10)


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture
def served(shared: Served) -> Iterator[Served]:
    yield shared
    shared.worker.__init__(registry=shared.worker.registry)  # type: ignore[misc]


def is_listened_to(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def test_a_worker_whose_threads_beat_is_healthy(served: Served) -> None:
    reply = served.get("/health")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {"status": "ok", "seconds_since_beat": {"control": 0.5, "data": 12.346}}


def test_health_names_the_thread_that_does_not_beat(served: Served) -> None:
    served.worker.stuck = ("data",)
    reply = served.get("/health")
    assert reply.status_code == 503
    assert reply.json()["status"] == "stuck"
    assert reply.json()["stuck"] == ["data"]


def test_ready_lists_what_is_missing_until_nothing_is(served: Served) -> None:
    served.worker.missing = {"database": "cannot be reached"}
    reply = served.get("/ready")
    assert (reply.status_code, reply.json()) == (
        503,
        {"status": "not ready", "missing": {"database": "cannot be reached"}},
    )
    served.worker.missing = {}
    reply = served.get("/ready")
    assert (reply.status_code, reply.json()) == (200, {"status": "ready"})


def test_sessions_are_listed_whatever_values_they_hold(served: Served) -> None:
    served.worker.rows = [
        {"symbol": "BTC/USD", "startedAt": datetime(2026, 1, 28, 10, tzinfo=UTC), "drawdown": float("nan")},
        {"symbol": "AAPL", "position": 3.5, "reason": None, "strategy": int},
    ]
    assert served.get("/sessions").json() == [
        {"symbol": "BTC/USD", "startedAt": "2026-01-28T10:00:00Z", "drawdown": None},
        {"symbol": "AAPL", "position": 3.5, "reason": None, "strategy": "<class 'int'>"},
    ]


def test_both_ports_give_the_metrics(served: Served) -> None:
    for port in (served.health_port, served.metrics_port):
        reply = get(port, "/metrics")
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/plain; version=")
        names = [family.name for family in text_string_to_metric_families(reply.text)]
        assert "process_resident_memory_bytes" in names


@pytest.mark.parametrize("path", ["/health", "/ready", "/sessions", "/"])
def test_the_metrics_port_gives_nothing_else(served: Served, path: str) -> None:
    assert get(served.metrics_port, path).status_code == 404


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/health/x"])
def test_what_is_not_there_is_not_found(served: Served, path: str) -> None:
    assert served.get(path).status_code == 404


def test_a_question_that_fails_does_not_end_the_server(served: Served) -> None:
    served.worker.broken = True
    assert served.get("/health").status_code == 500
    served.worker.broken = False
    assert served.get("/health").status_code == 200


def test_many_may_ask_at_once(served: Served) -> None:
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: served.get("/metrics").status_code, range(200)))
    assert set(statuses) == {200}


def test_requests_are_not_logged(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    structlog.get_logger("test").info("before")
    served.get("/health")
    served.get("/nothing")
    written = [json.loads(line)["action"] for line in capsys.readouterr().err.splitlines()]
    assert written == ["before"]


def test_a_port_of_0_is_off() -> None:
    with serving(metrics=False) as only_health:
        assert only_health.get("/health").status_code == 200
        assert only_health.get("/metrics").status_code == 200
    with serving(health=False) as only_metrics:
        assert get(only_metrics.metrics_port, "/metrics").status_code == 200
        assert get(only_metrics.metrics_port, "/health").status_code == 404
    with serving(health=False, metrics=False) as nothing:
        assert nothing.server.stop(0)


@pytest.mark.parametrize("taken", ["HEALTH_PORT", "METRICS_PORT"])
def test_a_port_that_is_taken_is_named_and_the_other_let_go(taken: str) -> None:
    ports = {"HEALTH_PORT": free_port(), "METRICS_PORT": free_port()}
    (other,) = set(ports.values()) - {ports[taken]}
    with socket.create_server((HOST, ports[taken])):
        server = TelemetryServer(HOST, ports["HEALTH_PORT"], ports["METRICS_PORT"], SomeWorker())
        with pytest.raises(ConfigError) as caught:  # whose traceback keeps alive what was not closed
            server.start()
        assert str(caught.value).startswith(f"{taken}: port {ports[taken]} of {HOST} is taken; stop")
        assert not is_listened_to(other)
        assert server.stop(0)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "not..a.name", "192.0.2.1", "2001:db8::1"])
def test_an_address_that_this_machine_does_not_have_is_explained(host: str) -> None:
    with pytest.raises(ConfigError, match=f"^HTTP_HOST: {host} is no address of this machine"):
        TelemetryServer(host, free_port(), 0, SomeWorker()).start()


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_an_ipv6_address_is_bound_or_explained() -> None:
    port = free_port()
    server = TelemetryServer("::1", port, 0, SomeWorker())
    if has_ipv6():
        server.start()
        assert requests.get(f"http://[::1]:{port}/health", timeout=10).status_code == 200
    else:
        with pytest.raises(ConfigError, match=r"^HTTP_HOST: ::1 is no address"):
            server.start()
    assert server.stop(10)


def test_stopping_lets_the_ports_go_soon_even_with_a_connection_open() -> None:
    with serving() as served:
        connection = http.client.HTTPConnection(HOST, served.health_port, timeout=10)
        connection.request("GET", "/health")
        assert connection.getresponse().read()
        started = time.monotonic()
        assert served.server.stop(10)
        assert time.monotonic() - started < 5
        assert not is_listened_to(served.health_port)
        assert not is_listened_to(served.metrics_port)
        connection.close()


def test_a_server_may_be_stopped_at_any_moment_of_its_start() -> None:
    for stop_at in range(5):
        with serving() as served:
            if stop_at:
                eventually(lambda port=served.health_port: is_listened_to(port))  # type: ignore[misc]
        assert not is_listened_to(served.health_port)


def test_a_server_stopped_before_its_start_ends_by_itself() -> None:
    port = free_port()
    server = TelemetryServer(HOST, port, 0, SomeWorker())
    assert server.stop(0)
    server.start()
    eventually(lambda: not is_listened_to(port))
    assert server.stop(10)


def test_the_web_framework_is_not_loaded_before_the_server_starts() -> None:
    program = "import sys, services.telemetry.http_server; print({'fastapi', 'uvicorn'} & {*sys.modules})"
    loaded = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert loaded.stdout.strip() == "set()"
