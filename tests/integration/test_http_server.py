"""What probes, Prometheus and people see of a worker, over real HTTP."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from services.telemetry.logs import configure_logging
from tests.integration.served_worker import Served, get, serving


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture
def served(shared: Served) -> Iterator[Served]:
    yield shared
    shared.worker.__init__(registry=shared.worker.registry)  # type: ignore[misc]


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
