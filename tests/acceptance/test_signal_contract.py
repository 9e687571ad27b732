"""What a signal looks like to a gateway that is not ours, and what its answers do to the session."""

import hashlib
import hmac
import time
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import pytest

from tests.acceptance.conftest import LiveWorker, StartWorker
from tests.gateway_stub import SILENT_DROP, Answer, GatewayStub
from tests.support import eventually

TOKEN = "open-sesame"  # noqa: S105 — of this test
SECRET = "under-the-mat"  # noqa: S105 — of this test


@pytest.fixture
def gateway() -> Iterator[GatewayStub]:
    with GatewayStub() as stub:
        yield stub


def five_bars(worker: LiveWorker, symbol: str, start: int = 0) -> None:
    """Give the mock strategy as many bars as it takes to send one signal."""
    for minute in range(start, start + 5):
        worker.bar(symbol, minute)


def outcomes(worker: LiveWorker, key: str) -> dict[str, int]:
    found: dict[str, int] = worker.sessions()[key]["outcomes"]
    return found


def test_a_signal_has_the_body_and_headers_of_the_contract(
    start_worker: StartWorker, gateway: GatewayStub
) -> None:
    worker = start_worker(GATEWAY_URL=gateway.url, GATEWAY_TOKEN=TOKEN, GATEWAY_HMAC_SECRET=SECRET)
    worker.subscribe("BTC/USD", "mock", "s1")
    five_bars(worker, "BTC/USD")
    [post] = eventually(lambda: gateway.posts)
    signal = post.json
    assert (post.method, post.path) == ("POST", "/internal/execute")
    assert post.headers["content-type"] == "application/json"
    assert post.headers["idempotency-key"] == signal["signalId"]
    assert post.headers["authorization"] == f"Bearer {TOKEN}"
    signed = f"{post.headers['x-timestamp']}\nPOST\n/internal/execute\n".encode() + post.body
    assert post.headers["x-signature"] == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert abs(time.time() - int(post.headers["x-timestamp"])) < 60
    UUID(signal["signalId"])
    assert datetime.fromisoformat(signal["timestamp"]).tzinfo is not None
    del signal["signalId"], signal["timestamp"]
    assert signal == {
        "sessionId": "s1",
        "strategyId": "mock",
        "symbol": "BTC/USD",
        "action": "BUY",
        "price": 100.5,
        "quantity": 1.0,
        "qty": 1.0,
        "confidence": 1.0,
        "metadata": {},
    }
    output = worker.process.output
    assert TOKEN not in output
    assert SECRET not in output


def test_an_execution_moves_the_position_of_the_session(
    start_worker: StartWorker, gateway: GatewayStub
) -> None:
    gateway.script(
        Answer.of(201, {"status": "filled", "orderId": "o1", "filledQuantity": 0.5, "filledPrice": 101})
    )
    worker = start_worker(GATEWAY_URL=gateway.url)
    worker.subscribe("AAPL", "mock", "s1")
    five_bars(worker, "AAPL")
    eventually(lambda: outcomes(worker, "s1") == {"executed": 1})
    position = worker.sessions()["s1"]["position"]
    assert position == {"quantity": 0.5, "averagePrice": 101.0, "expected": 0.5, "realisedPnl": 0.0}
    assert worker.metric("worker_signals_total", "executed") == 1
    assert worker.metric("worker_signal_latency_seconds_count") == 1
    assert worker.metric("worker_outbox_pending") == 0


def test_a_slow_gateway_does_not_hold_up_market_data(start_worker: StartWorker, gateway: GatewayStub) -> None:
    gateway.answer = lambda _: Answer(201, delay=60.0)
    worker = start_worker(GATEWAY_URL=gateway.url, GATEWAY_TIMEOUT="120")
    worker.subscribe("AAPL", "mock", "s1")
    for minute in range(0, 500, 5):
        five_bars(worker, "AAPL", minute)
    eventually(lambda: worker.delivered() == 500)
    assert worker.metric("worker_outbox_pending") == 100
    assert worker.get("/health").status_code == 200


def test_a_session_that_the_gateway_does_not_know_is_stopped(
    start_worker: StartWorker, gateway: GatewayStub
) -> None:
    gateway.script(Answer.of(404, {"error": "unknown_session"}))
    worker = start_worker(GATEWAY_URL=gateway.url)
    worker.subscribe("AAPL", "mock", "s1")
    worker.subscribe("AAPL", "sma_cross", "s2")
    five_bars(worker, "AAPL")
    eventually(lambda: list(worker.sessions()) == ["s2"])
    assert worker.metric("worker_signals_total", "rejected") == 1


def test_a_rejection_comes_back_to_the_strategy_and_the_session_goes_on(
    start_worker: StartWorker, gateway: GatewayStub
) -> None:
    gateway.script(Answer.of(400, {"error": "insufficient_funds"}))
    worker = start_worker(GATEWAY_URL=gateway.url)
    worker.subscribe("AAPL", "mock", "s1")
    five_bars(worker, "AAPL")
    eventually(lambda: outcomes(worker, "s1") == {"rejected": 1})
    five_bars(worker, "AAPL", 5)
    eventually(lambda: outcomes(worker, "s1") == {"rejected": 1, "executed": 1})
    assert [post.json["action"] for post in gateway.posts] == ["BUY", "BUY"]


def test_refused_credentials_stop_all_sending_and_ready_says_why_until_they_are_accepted(
    start_worker: StartWorker, gateway: GatewayStub
) -> None:
    gateway.answer = lambda _: Answer.of(401, {"error": "bad_token"})
    worker = start_worker(GATEWAY_URL=gateway.url)
    worker.subscribe("AAPL", "mock", "s1")
    worker.subscribe("MSFT", "mock", "s2")
    five_bars(worker, "AAPL")
    eventually(lambda: worker.get("/ready").status_code == 503)
    assert "bad_token" in worker.get("/ready").text
    five_bars(worker, "MSFT")
    eventually(lambda: worker.metric("worker_outbox_pending") == 1)
    assert len(gateway.posts) == 1
    gateway.answer = gateway.friendly
    eventually(lambda: outcomes(worker, "s2") == {"executed": 1}, 30)
    eventually(lambda: worker.get("/ready").status_code == 200)


def test_an_outcome_that_cannot_be_known_halts_the_session_and_is_never_sent_again(
    start_worker: StartWorker, gateway: GatewayStub
) -> None:
    gateway.answer = lambda received: (
        SILENT_DROP if received.method == "POST" else Answer.of(404, {"error": "not found"})
    )
    worker = start_worker(GATEWAY_URL=gateway.url, SIGNAL_TTL_SECONDS="1")
    worker.subscribe("AAPL", "mock", "s1")
    five_bars(worker, "AAPL")
    eventually(lambda: worker.sessions()["s1"]["state"] == "HALTED")
    assert worker.metric("worker_signals_total", "unknown") == 1
    assert len(gateway.posts) == 1
    assert gateway.gets  # it asked what had become of it
    five_bars(worker, "AAPL", 5)
    worker.bar("AAPL", 10)
    eventually(lambda: worker.metric("worker_events_dropped_total", "no_session") == 6)


def test_a_lost_answer_is_sent_again_under_the_same_id_where_the_gateway_is_idempotent(
    start_worker: StartWorker, gateway: GatewayStub
) -> None:
    gateway.script(SILENT_DROP, SILENT_DROP)
    worker = start_worker(GATEWAY_URL=gateway.url, GATEWAY_IDEMPOTENT="true")
    worker.subscribe("AAPL", "mock", "s1")
    five_bars(worker, "AAPL")
    eventually(lambda: outcomes(worker, "s1") == {"executed": 1})
    assert len({post.json["signalId"] for post in gateway.posts}) == 1
    assert len({post.body for post in gateway.posts}) == 1
    assert len(gateway.posts) == 3
