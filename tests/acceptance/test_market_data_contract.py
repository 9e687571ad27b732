"""Every row of the market data contract, over the wire, against a real worker."""

import json
from collections import Counter
from typing import Any

import pytest

from tests.acceptance.conftest import LiveWorker, StartWorker, bar, trade
from tests.support import eventually


@pytest.fixture
def worker(start_worker: StartWorker) -> LiveWorker:
    worker = start_worker()
    worker.subscribe("AAPL", "mock", "s1")
    return worker


def test_bars_and_trades_reach_every_session_of_their_symbol_and_no_other(worker: LiveWorker) -> None:
    worker.subscribe("AAPL", "sma_cross", "s2")
    worker.subscribe("MSFT", "mock", "s3")
    for minute in range(10):
        worker.bar("AAPL", minute)
    for minute in range(4):
        worker.redis.publish("market_trades:AAPL", json.dumps(trade("AAPL", minute)))
    worker.bar("MSFT", 0)
    eventually(lambda: (worker.delivered(), worker.delivered("trade")) == (11, 4))
    counts = {key: (session["bars"], session["trades"]) for key, session in worker.sessions().items()}
    assert counts == {"s1": (10, 4), "s2": (10, 4), "s3": (1, 0)}
    assert worker.metric("worker_handler_calls_total", "bar") == 21
    assert worker.metric("worker_handler_calls_total", "trade") == 8


def test_events_without_a_session_are_dropped_before_they_are_decoded(worker: LiveWorker) -> None:
    worker.redis.publish("market_data:IBM", b"not even JSON")
    worker.bar("IBM", 0)
    eventually(lambda: worker.metric("worker_events_dropped_total", "no_session") == 2)
    assert worker.metric("worker_events_rejected_total") == 0


def test_a_bar_not_newer_than_the_last_of_its_timeframe_is_dropped_as_a_duplicate(worker: LiveWorker) -> None:
    for minute in (5, 5, 4, 6):
        worker.bar("AAPL", minute)
    worker.bar("AAPL", 5, timeframe="5m")
    eventually(lambda: worker.delivered() == 3)
    assert worker.metric("worker_events_dropped_total", "duplicate") == 2


def test_symbols_with_a_slash_and_extra_fields_and_fractions_are_fine(worker: LiveWorker) -> None:
    worker.subscribe("BTC/USD", "mock", "crypto")
    worker.bar("BTC/USD", 0, volume=0.00012, exchange="X", seq=7, epoch=1)
    worker.bar("BTC/USD", 1, volume=0, timestamp="2026-01-28T12:01:00.250+01:00")
    eventually(lambda: worker.delivered() == 1)  # an hour earlier in UTC: the second is the older one
    eventually(lambda: worker.metric("worker_events_dropped_total", "duplicate") == 1)


REFUSED_BARS: list[tuple[Any, str]] = [
    (b"nonsense", "not_json"),
    (b"\xff\xff", "not_utf8"),
    (b"[1]", "invalid_value"),
    ({"close": None}, "invalid_value"),
    ({"close": "100.5"}, "invalid_value"),
    ({"close": True}, "invalid_value"),
    ({"low": 0}, "invalid_value"),
    ({"low": -1}, "invalid_value"),
    ({"volume": -1}, "invalid_value"),
    (json.dumps({**bar("AAPL", 0), "close": float("nan")}).encode(), "not_json"),
    (json.dumps({**bar("AAPL", 0), "high": float("inf")}).encode(), "not_json"),
    (json.dumps(bar("AAPL", 0)).replace("100.5", "1e999").encode(), "invalid_value"),
    ({"low": 100.2}, "inconsistent_bar"),
    ({"high": 100.2}, "inconsistent_bar"),
    ({"symbol": "MSFT"}, "symbol_mismatch"),
    ({"timestamp": "2026-01-28T12:00:00"}, "invalid_value"),
    ({"timestamp": "yesterday"}, "invalid_value"),
    ({"timestamp": 1769601600}, "invalid_value"),
    ({"pad": "x" * 70_000}, "too_large"),
    (json.dumps({"symbol": "AAPL"}).encode(), "missing_field"),
]


REFUSED_TRADES: list[tuple[dict[str, Any], str]] = [
    ({"price": 0}, "invalid_value"),
    ({"size": 0}, "invalid_value"),
    ({"size": "5"}, "invalid_value"),
    ({"price": False}, "invalid_value"),
    ({"symbol": "IBM"}, "symbol_mismatch"),
    ({"tickType": "quote"}, "invalid_value"),
]


def test_wrong_bars_and_trades_are_refused_counted_and_kept_and_the_next_one_delivered(
    worker: LiveWorker,
) -> None:
    published = [
        ("market_data:AAPL", _payload(bar("AAPL", 0), wrong), reason) for wrong, reason in REFUSED_BARS
    ]
    published += [
        ("market_trades:AAPL", _payload(trade("AAPL", 0), wrong), reason) for wrong, reason in REFUSED_TRADES
    ]
    for channel, payload, _ in published:
        worker.redis.publish(channel, payload)
    worker.bar("AAPL", 1)
    worker.redis.publish("market_trades:AAPL", json.dumps(trade("AAPL", 1)))
    eventually(lambda: (worker.delivered(), worker.delivered("trade")) == (1, 1))
    metrics = worker.metrics()
    for reason, count in Counter(reason for _, _, reason in published).items():
        assert metrics["worker_events_rejected_total", reason] == count
    eventually(lambda: len(worker.dead_letters()) == len(published))
    for (channel, payload, reason), letter in zip(published, worker.dead_letters(), strict=True):
        assert (letter[b"source"], letter[b"reason"]) == (channel.encode(), reason.encode())
        assert letter[b"payload"] == payload[:4096]


def _payload(right: dict[str, Any], wrong: Any) -> bytes:
    return wrong if isinstance(wrong, bytes) else json.dumps({**right, **wrong}).encode()
