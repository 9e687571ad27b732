"""A worker that says what a test has it say, served over HTTP."""

import socket
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from prometheus_client import CollectorRegistry

from services.telemetry.health import Health, Readiness
from services.telemetry.http_server import TelemetryServer
from services.telemetry.metrics import make_registry
from tests.support import free_port

HOST = "127.0.0.1"


@dataclass
class SomeWorker:
    """A worker that says what a test has it say."""

    registry: CollectorRegistry = field(default_factory=make_registry)
    stuck: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    broken: bool = False
    statuses: dict[str, str] = field(default_factory=dict)
    commanded: list[tuple[str, str]] = field(default_factory=list)
    writes: bool = True

    def health(self) -> Health:
        if self.broken:
            raise RuntimeError("broken on purpose")
        return Health({"control": 0.5, "data": 12.3456}, self.stuck)

    def readiness(self) -> Readiness:
        return Readiness(self.missing)

    def sessions(self) -> list[dict[str, Any]]:
        return self.rows

    def authorised(self, token: str) -> bool:
        return token == "open-sesame"  # noqa: S105 — of this test

    def resume(self, key: str) -> bool:
        return key in {row.get("key") for row in self.rows}

    def reload(self, strategy_id: str) -> list[str]:
        return [row["key"] for row in self.rows if row.get("strategyId") == strategy_id]

    def executions(self) -> list[dict[str, Any]]:
        return [{"execution_id": key, "status": status} for key, status in self.statuses.items()]

    def command_execution(self, execution_id: str, command: str) -> Future[bool] | None:
        status = self.statuses.get(execution_id)
        if status is None:
            return None
        self.commanded.append((execution_id, command))
        written: Future[bool] = Future()
        if self.writes:
            written.set_result((command, status) != ("resume", "active"))
        return written


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


def is_listened_to(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
