"""Every row of the control table, over the wire, against a real worker."""

import json
from collections import Counter

import pytest

from tests.acceptance.conftest import CONTROL, LiveWorker, StartWorker
from tests.support import eventually


@pytest.fixture
def worker(start_worker: StartWorker) -> LiveWorker:
    return start_worker()


def settle(worker: LiveWorker) -> None:
    """Wait until every control event published before has been applied."""
    worker.subscribe("BARRIER", "buy_and_hold", "barrier")
    worker.control("unsubscribe", "BARRIER", session="barrier")
    eventually(lambda: "barrier" not in worker.sessions())


def running(worker: LiveWorker) -> set[str]:
    settle(worker)
    return {key for key, session in worker.sessions().items() if session["state"] == "RUNNING"}


def test_subscribe_starts_the_session_that_the_event_names(worker: LiveWorker) -> None:
    worker.subscribe("AAPL", "sma_cross", "s1")
    session = worker.sessions()["s1"]
    assert (session["symbol"], session["strategyId"], session["sessionId"]) == ("AAPL", "sma_cross", "s1")
    assert (session["type"], session["state"], session["reason"]) == ("stock", "RUNNING", None)


def test_subscribe_to_a_running_key_is_counted_and_changes_nothing(worker: LiveWorker) -> None:
    worker.subscribe("AAPL", "mock", "s1")
    started = worker.sessions()["s1"]["startedAt"]
    for _ in range(3):
        worker.control("subscribe", "AAPL", "mock", "s1")
    eventually(lambda: worker.metric("worker_control_events_total", "duplicate") == 3)
    assert worker.sessions()["s1"]["startedAt"] == started


def test_subscribe_without_a_strategy_starts_the_default_one(worker: LiveWorker) -> None:
    worker.subscribe("BTC/USD")
    assert worker.sessions()["strat_BTC/USD"]["strategy"] == "mock"


def test_the_default_strategy_can_be_another(start_worker: StartWorker) -> None:
    worker = start_worker(DEFAULT_STRATEGY="sma_cross")
    worker.subscribe("AAPL")
    assert worker.sessions()["strat_AAPL"]["strategy"] == "sma_cross"


def test_unsubscribe_stops_what_it_names_and_nothing_else(worker: LiveWorker) -> None:
    for key, strategy in (("s1", "mock"), ("s2", "mock"), ("s3", "sma_cross")):
        worker.subscribe("AAPL", strategy, key)
    worker.subscribe("MSFT", "mock", "s4")
    worker.control("unsubscribe", "AAPL", "mock", "s1")
    assert running(worker) == {"s2", "s3", "s4"}
    worker.control("unsubscribe", "AAPL", "mock")
    assert running(worker) == {"s3", "s4"}
    worker.control("unsubscribe", "AAPL")
    assert running(worker) == {"s4"}


def test_an_unknown_strategy_leaves_a_session_in_error_with_a_clear_reason(worker: LiveWorker) -> None:
    worker.control("subscribe", "AAPL", "sma_crss", "s1")
    eventually(lambda: worker.sessions().get("s1", {}).get("state") == "ERROR")
    session = worker.sessions()["s1"]
    assert "did you mean 'sma_cross'" in session["reason"]


def test_a_strategy_of_the_catalogue_without_a_database_is_an_error_that_says_so(worker: LiveWorker) -> None:
    worker.control("subscribe", "AAPL", "00000000-0000-4000-8000-000000000001", "s1")
    eventually(lambda: worker.sessions().get("s1", {}).get("state") == "ERROR")
    session = worker.sessions()["s1"]
    assert "DATABASE_URL" in session["reason"]


def test_unknown_fields_are_ignored(worker: LiveWorker) -> None:
    event = {
        "action": "subscribe",
        "symbol": "AAPL",
        "type": "crypto",
        "strategyId": "mock",
        "colour": [1, 2],
    }
    worker.redis.publish(CONTROL, json.dumps(event))
    eventually(lambda: worker.sessions().get("mock", {}).get("type") == "crypto")


REFUSED = [
    (b"{", "not_json"),
    (b"\xff\xfe", "not_utf8"),
    (b"[]", "invalid_value"),
    (b'"subscribe"', "invalid_value"),
    (b"{}", "missing_field"),
    (b'{"action":"subscribe","symbol":"AAPL"}', "missing_field"),
    (b'{"action":"restart","symbol":"AAPL","type":"stock"}', "unknown_action"),
    (b'{"action":"subscribe","symbol":"A*","type":"stock"}', "invalid_value"),
    (b'{"action":"subscribe","symbol":"","type":"stock"}', "invalid_value"),
    (b'{"action":"subscribe","symbol":"AAPL","type":"bond"}', "invalid_value"),
    (b'{"action":"subscribe","symbol":"AAPL","type":"stock","strategyId":7}', "invalid_value"),
    (b'{"action":"subscribe","symbol":"AAPL","type":"stock","pad":"' + b"x" * 70_000 + b'"}', "too_large"),
]


def test_what_is_no_control_event_is_refused_counted_and_kept(worker: LiveWorker) -> None:
    for payload, _ in REFUSED:
        worker.redis.publish(CONTROL, payload)
    worker.subscribe("AAPL", "mock", "after")
    metrics = worker.metrics()
    for reason, count in Counter(reason for _, reason in REFUSED).items():
        assert metrics["worker_events_rejected_total", reason] == count
    eventually(lambda: len(worker.dead_letters()) == len(REFUSED))
    for (payload, reason), letter in zip(REFUSED, worker.dead_letters(), strict=True):
        assert (letter[b"source"], letter[b"reason"]) == (CONTROL.encode(), reason.encode())
        assert letter[b"payload"] == payload[:4096]
        assert letter[b"at"].startswith(b"20")
