"""How the worker's HTTP servers get their ports and let them go."""

import http.client
import socket
import subprocess
import sys
import time

import pytest
import requests

from models.errors import ConfigError
from services.telemetry.http_server import TelemetryServer
from tests.integration.served_worker import HOST, SomeWorker, get, is_listened_to, serving
from tests.support import REPOSITORY, eventually, free_port


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
