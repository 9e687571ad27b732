"""A real worker process, spoken to as other programs do: over Redis and HTTP alone."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.support import RunningProcess, eventually, free_port, running_process

CONTROL = "system:subscription_updates"
DEAD_LETTERS = "strategy_worker:dead_letters"
NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)


class LiveWorker:
    """One `python main.py` under test."""

    def __init__(self, process: RunningProcess, port: int, redis_url: str) -> None:
        self.process = process
        self.port = port
        self.redis = redis.Redis.from_url(redis_url, protocol=2)
        self._url = f"http://127.0.0.1:{port}"
        self._http = requests.Session()
        self._http.trust_env = False

    def get(self, path: str) -> requests.Response:
        """Ask the worker; a refused connection is an answer with status 599."""
        try:
            return self._http.get(self._url + path, timeout=10)
        except requests.ConnectionError:
            silent = requests.Response()
            silent.status_code = 599
            return silent

    def post(self, path: str, headers: dict[str, str] | None = None) -> requests.Response:
        """Give the worker an order."""
        return self._http.post(self._url + path, headers=headers, timeout=10)

    def wait_ready(self) -> None:
        """Wait until /ready says so; fail at once when the process died."""

        def ready() -> bool:
            assert self.process.running, self.process.output[-4000:]
            return self.get("/ready").status_code == 200

        eventually(ready, 30, "the worker is ready")

    def sessions(self) -> dict[str, dict[str, Any]]:
        """Every session by its key."""
        return {session["key"]: session for session in self.get("/sessions").json()}

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Every sample now, by its name and the values of its labels."""
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(self.get("/metrics").text)
            for sample in family.samples
        }

    def metric(self, name: str, *labels: str) -> float:
        """The value of one sample by the values of its labels; 0 when it is not there (yet)."""
        return self.metrics().get((name, *labels), 0.0)

    def dead_letters(self) -> list[dict[bytes, bytes]]:
        """The fields of every dead letter, the oldest first."""
        entries: Any = self.redis.xrange(DEAD_LETTERS)
        return [fields for _, fields in entries]

    def control(
        self, action: str, symbol: str, strategy: str | None = None, session: str | None = None
    ) -> None:
        """Publish a control event, with the fields that are given."""
        event = {
            "action": action,
            "symbol": symbol,
            "type": "stock",
            "strategyId": strategy,
            "sessionId": session,
        }
        self.redis.publish(
            CONTROL, json.dumps({name: value for name, value in event.items() if value is not None})
        )

    def subscribe(self, symbol: str, strategy: str | None = None, session: str | None = None) -> None:
        """Start a session and wait until it runs."""
        self.control("subscribe", symbol, strategy, session)
        key = session or strategy or f"strat_{symbol}"
        eventually(lambda: self.sessions().get(key, {}).get("state") == "RUNNING", message=f"{key} runs")

    def bar(self, symbol: str, minute: int, **changed: Any) -> None:
        """Publish the bar of a minute after noon."""
        self.redis.publish(f"market_data:{symbol}", json.dumps({**bar(symbol, minute), **changed}))

    def delivered(self, kind: str = "bar") -> float:
        """How many events were delivered to at least one session."""
        return self.metric("worker_events_total", kind)


def bar(symbol: str, minute: int) -> dict[str, Any]:
    """The bar of a minute after noon, as a publisher writes it."""
    return {
        "symbol": symbol,
        "timeframe": "1m",
        "open": 100.0,
        "high": 101.0,
        "low": 99.0,
        "close": 100.5,
        "volume": 1000,
        "timestamp": (NOON + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z"),
    }


def trade(symbol: str, minute: int) -> dict[str, Any]:
    """A trade of a minute after noon, as a publisher writes it."""
    moment = (NOON + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")
    return {"symbol": symbol, "price": 100.25, "size": 5, "timestamp": moment, "tickType": "trade"}


StartWorker = Callable[..., LiveWorker]


@pytest.fixture
def start_worker(redis_url: str) -> Iterator[StartWorker]:
    """Start workers; each is ended with the test."""
    with ExitStack() as stack:

        def start(*, ready: bool = True, **settings: str) -> LiveWorker:
            port = free_port()
            env = {
                "REDIS_URL": redis_url,
                "GATEWAY_URL": "http://127.0.0.1:9",  # nobody answers there
                "HEALTH_PORT": str(port),
                "METRICS_PORT": "0",
                **settings,
            }
            program = [sys.executable, "main.py"]
            process = stack.enter_context(running_process(program, env, ending_seconds=0))
            worker = LiveWorker(process, port, env["REDIS_URL"])
            stack.callback(worker.redis.close)
            if ready:
                worker.wait_ready()
            return worker

        yield start
