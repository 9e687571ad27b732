"""Executions over HTTP: shown to everybody, commanded with the CONTROL_TOKEN alone."""

from collections.abc import Iterator

import pytest
import requests

from services.telemetry import execution_routes
from tests.integration.served_worker import HOST, Served, serving

TOKEN = {"Authorization": "Bearer open-sesame"}


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(metrics=False) as server:
        server.worker.statuses["one"] = "active"
        yield server


def post(served: Served, path: str, headers: dict[str, str] | None = None) -> requests.Response:
    return requests.post(f"http://{HOST}:{served.health_port}{path}", headers=headers, timeout=10)


def test_executions_are_shown(served: Served) -> None:
    assert served.get("/executions").json() == [{"execution_id": "one", "status": "active"}]


@pytest.mark.parametrize("command", ["stop", "pause"])
def test_a_command_with_the_token_is_taken(served: Served, command: str) -> None:
    reply = post(served, f"/executions/one/{command}", TOKEN)
    assert (reply.status_code, reply.json()["command"]) == (202, command)
    assert served.worker.commanded == [("one", command)]


@pytest.mark.parametrize(
    "headers", [None, {"Authorization": "Bearer guessed"}, {"Authorization": "Basic eDp5"}]
)
def test_without_the_token_nothing_is_commanded(served: Served, headers: dict[str, str] | None) -> None:
    assert post(served, "/executions/one/stop", headers).status_code == 401
    assert served.worker.commanded == []


def test_a_command_that_is_not_written_yet_is_not_called_accepted(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution_routes, "WRITE_SECONDS", 0.05)
    served.worker.writes = False
    reply = post(served, "/executions/one/stop", TOKEN)
    assert (reply.status_code, reply.json()["error"]) == (503, "not_written")


def test_what_cannot_be_done_is_said(served: Served) -> None:
    assert post(served, "/executions/two/stop", TOKEN).status_code == 404
    assert post(served, "/executions/one/resume", TOKEN).status_code == 409
    assert post(served, "/executions/one/dance", TOKEN).status_code == 422
