"""Who may ask what, and how requests that are no good are answered."""

import hashlib
import hmac
import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from services.paper.options import PaperGatewayOptions
from tests.integration.paper_gateway import Client, an_order, serving

TOKEN = {"Authorization": "Bearer let-me-in"}


@pytest.fixture
def guarded(database_url: str) -> Iterator[Client]:
    options = PaperGatewayOptions(token="let-me-in", hmac_secret="s")  # noqa: S106
    with serving(database_url, options=options) as client:
        yield client


@pytest.fixture
def gateway(database_url: str) -> Iterator[Client]:
    with serving(database_url) as client:
        yield client


def signed(method: str, path: str, body: bytes = b"") -> dict[str, str]:
    timestamp = str(int(time.time()))
    text = f"{timestamp}\n{method}\n{path}\n".encode() + body
    return TOKEN | {
        "X-Timestamp": timestamp,
        "X-Signature": hmac.new(b"s", text, hashlib.sha256).hexdigest(),
    }


def test_a_worker_needs_token_and_signature(guarded: Client) -> None:
    session = guarded.post(
        "/sessions", {"symbol": "AAPL", "type": "stock", "strategyId": "mock"}, headers=TOKEN
    ).json()
    body = json.dumps(order := an_order(session["sessionId"], "BUY", 1, 10)).encode()
    path, read_back = "/internal/execute", f"/internal/executions/{order['signalId']}"
    assert guarded.post(path, data=body).status_code == 401
    assert guarded.post(path, data=body, headers=TOKEN).json()["error"] == "bad_signature"
    assert guarded.post(path, data=body + b" ", headers=signed("POST", path, body)).status_code == 401
    assert guarded.post(path, data=body, headers=signed("POST", path, body)).status_code == 201
    assert guarded.get(read_back, headers=TOKEN).status_code == 401
    assert guarded.get(read_back, headers=signed("GET", read_back)).status_code == 200


@pytest.mark.parametrize("path", ["/api/portfolio", "/api/positions", "/api/trades"])
def test_a_person_needs_the_token_alone(guarded: Client, path: str) -> None:
    refused = guarded.get(path)
    assert (refused.status_code, refused.json()["error"]) == (401, "unauthorized")
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert guarded.get(path, headers=TOKEN).status_code == 200


def test_sessions_are_not_started_or_stopped_without_the_token(guarded: Client) -> None:
    body = {"symbol": "A", "type": "stock", "strategyId": "mock"}
    assert guarded.post("/sessions", body).status_code == 401
    assert guarded.post("/sessions/s/stop").status_code == 401
    assert guarded.count("sessions") == 0


def test_health_needs_no_token(guarded: Client) -> None:
    assert guarded.get("/health").json()["database"] is True


@pytest.mark.parametrize("path", ["/", "/nothing", "/docs", "/openapi.json", "/internal/execute"])
def test_every_error_is_json_with_error_and_message(gateway: Client, path: str) -> None:
    reply = gateway.get(path)
    assert reply.status_code == (405 if path == "/internal/execute" else 404)
    assert set(reply.json()) == {"error", "message"}
    assert reply.json()["error"] == ("method_not_allowed" if reply.status_code == 405 else "not_found")


def test_a_body_that_is_no_order_is_a_400_that_says_why(gateway: Client) -> None:
    reply = gateway.post("/internal/execute", {"symbol": "A"}, headers={"Idempotency-Key": "k"})
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")
    assert "price" in reply.json()["message"]
    assert gateway.count("paper_receipts") == 0


@pytest.mark.parametrize("wrong", [{"symbol": "A B"}, {"type": "bond"}, {"strategyId": ""}, {"userId": 1}])
def test_a_body_that_is_no_session_is_a_400(gateway: Client, wrong: dict[str, object]) -> None:
    body = {"symbol": "A", "type": "stock", "strategyId": "mock"} | wrong
    assert gateway.post("/sessions", body).status_code == 400


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_64_kib_is_refused(gateway: Client, chunked: bool) -> None:  # noqa: FBT001
    chunks = [b" " * 1024] * 65
    try:
        reply = gateway.post("/internal/execute", data=iter(chunks) if chunked else b"".join(chunks))
    except requests.ConnectionError:
        return  # closed while we were still sending
    assert (reply.status_code, reply.json()["error"]) == (413, "body_too_large")


def test_what_is_not_http_disturbs_nobody(gateway: Client) -> None:
    address = urlsplit(gateway.url)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=5) as stray:
        stray.sendall(b"\x16\x03\x01\x02\x00" * 100 + b"\r\n\r\n")
        assert stray.recv(100).startswith(b"HTTP/1.1 400")
    assert gateway.get("/api/portfolio").status_code == 200
