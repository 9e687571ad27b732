"""Limits, daily losses and the kill switch, over a real worker and what it leaves in the database."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.db_client import Database
from tests.acceptance.conftest import LiveWorker, StartWorker
from tests.faults.databases import unfinished_signals
from tests.gateway_stub import GatewayStub
from tests.integration.command_line import command
from tests.support import eventually

ORDERS_VOLUME = '''
from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy


class OrdersVolume(BaseStrategy):
    """Orders as many units as were traded: buys after a bar that rose, sells after one that fell."""

    name = "orders_volume"

    def on_bar(self, bar: Bar) -> None:
        self.send_signal("BUY" if bar.close >= bar.open else "SELL", bar.close, bar.volume)

    def on_trade(self, trade: Trade) -> None:
        pass
'''


@pytest.fixture
def gateway() -> Iterator[GatewayStub]:
    with GatewayStub() as stub:
        yield stub


@pytest.fixture
def settings(tmp_path: Path, gateway: GatewayStub, database_url: str) -> dict[str, str]:
    (tmp_path / "orders_volume.py").write_text(ORDERS_VOLUME)
    return {"STRATEGIES_PATH": str(tmp_path), "GATEWAY_URL": gateway.url, "DATABASE_URL": database_url}


def ends_are_written(database_url: str) -> None:
    """Wait until the row of every signal that has ended says so."""
    eventually(lambda: unfinished_signals(database_url) == 0, message="every end has its row")


def rows(database_url: str, query: str) -> list[tuple[Any, ...]]:
    database = Database(database_url, size=1)
    try:
        with database.transaction() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        database.close()


def outcomes(worker: LiveWorker, key: str = "s1") -> dict[str, int]:
    found: dict[str, int] = worker.sessions().get(key, {}).get("outcomes", {})
    return found


def wait_for(worker: LiveWorker, **counts: int) -> None:
    eventually(lambda: outcomes(worker) == counts, 15, f"the outcomes are {counts}")


def risk_events(database_url: str) -> list[tuple[Any, ...]]:
    return rows(
        database_url, "SELECT event_type, action_taken, session_key FROM risk_events ORDER BY created_at"
    )


def test_what_is_over_a_limit_is_reduced_or_refused_also_after_a_crash(
    start_worker: StartWorker, gateway: GatewayStub, settings: dict[str, str]
) -> None:
    worker = start_worker(RISK_ENABLED="true", **settings)
    worker.subscribe("AAPL", "orders_volume", "s1")
    worker.bar("AAPL", 0, volume=1500)
    wait_for(worker, refused=1)
    worker.bar("AAPL", 1, volume=0.5)
    wait_for(worker, refused=2)
    worker.bar("AAPL", 2, volume=400)
    wait_for(worker, refused=2, executed=1)
    [post] = gateway.posts
    assert post.json["quantity"] == 298.0  # of 100.5 each, 30 % of 100,000 hold no more
    position = worker.sessions()["s1"]["position"]
    assert (position["quantity"], position["expected"]) == (298.0, 298.0)
    assert worker.metric("risk_violations_total", "order_size") == 2
    assert worker.metric("risk_violations_total", "position_size") == 1
    url = settings["DATABASE_URL"]
    expected = [("order_size", "refused", "s1")] * 2 + [("position_size", "reduced", "s1")]
    eventually(lambda: risk_events(url) == expected, message="every event has its row")
    ends_are_written(url)
    refused = rows(url, "SELECT reason, attempts FROM signals WHERE status = 'refused' ORDER BY number")
    assert refused == [
        ("order_size: the order is worth 150750.00, over the limit of 100000.00", 0),
        ("order_size: the order is worth 50.25, below the smallest of 100.00", 0),
    ]
    os.kill(worker.process.pid, signal.SIGKILL)
    again = start_worker(RISK_ENABLED="true", **settings)
    eventually(lambda: again.sessions().get("s1", {}).get("state") == "RUNNING", message="s1 is back")
    again.bar("AAPL", 3, volume=10)
    wait_for(again, refused=1)
    assert len(gateway.posts) == 1
    again.bar("AAPL", 4, volume=298, open=101)
    wait_for(again, refused=1, executed=1)
    assert (gateway.posts[-1].json["action"], gateway.posts[-1].json["quantity"]) == ("SELL", 298.0)


def test_a_daily_loss_halts_what_grows_until_somebody_resumes(
    start_worker: StartWorker, gateway: GatewayStub, settings: dict[str, str], redis_url: str
) -> None:
    worker = start_worker(RISK_ENABLED="true", **settings)
    worker.subscribe("AAPL", "orders_volume", "s1")
    worker.bar("AAPL", 0, volume=200)
    wait_for(worker, executed=1)
    fallen = {"open": 75.0, "high": 75.5, "low": 74.0, "close": 75.25}
    worker.bar("AAPL", 1, volume=10, **fallen)
    wait_for(worker, executed=1, refused=1)
    worker.bar("AAPL", 2, volume=100, **{**fallen, "open": 75.5})
    wait_for(worker, executed=2, refused=1)
    url = settings["DATABASE_URL"]
    halted = "SELECT account FROM risk_state WHERE halted_reason IS NOT NULL ORDER BY account"
    eventually(lambda: rows(url, halted) == [("*",), ("sessions",)], message="the halt is saved")
    ends_are_written(url)  # else the next one has to ask about them
    os.kill(worker.process.pid, signal.SIGKILL)
    again = start_worker(RISK_ENABLED="true", **settings)
    eventually(lambda: again.sessions().get("s1", {}).get("state") == "RUNNING", message="s1 is back")
    again.bar("AAPL", 3, volume=10, **fallen)
    wait_for(again, refused=1)
    assert command("resume", REDIS_URL=redis_url).code == 0
    eventually(lambda: rows(url, halted) == [], message="the halt is lifted")
    again.bar("AAPL", 4, volume=10, **fallen)
    wait_for(again, refused=1, executed=1)
    taken = [(rule, action) for rule, action, _ in risk_events(url) if rule == "daily_loss"]
    assert {("daily_loss", "halted"), ("daily_loss", "refused"), ("daily_loss", "resumed")} <= set(taken)
    assert [post.json["action"] for post in gateway.posts] == ["BUY", "SELL", "BUY"]


def test_a_halt_by_command_stops_everything_also_without_risk_checks(
    start_worker: StartWorker, gateway: GatewayStub, settings: dict[str, str], redis_url: str
) -> None:
    worker = start_worker(**settings)
    worker.subscribe("AAPL", "orders_volume", "s1")
    worker.bar("AAPL", 0, volume=10)
    wait_for(worker, executed=1)
    assert command("halt", "--reason", "fire drill", "--by", "ann", REDIS_URL=redis_url).code == 0
    told = "fire drill (by ann)"
    eventually(
        lambda: worker.get("/ready").json().get("missing", {}).get("trading") == told,
        message="/ready says it",
    )
    assert worker.get("/ready").status_code == 503
    worker.bar("AAPL", 1, volume=10, open=101)
    wait_for(worker, executed=1, refused=1)
    url = settings["DATABASE_URL"]
    found = "SELECT status, reason FROM signals ORDER BY number DESC LIMIT 1"
    assert rows(url, found) == [("refused", f"halted: {told}")]
    assert len(gateway.posts) == 1
    assert command("resume", REDIS_URL=redis_url).output == f"trading is resumed; it was halted: {told}\n"
    worker.wait_ready()
    worker.bar("AAPL", 2, volume=10, open=101)
    wait_for(worker, executed=2, refused=1)
    events = "SELECT event_type, action_taken FROM risk_events ORDER BY created_at"
    eventually(
        lambda: [action for _, action in rows(url, events)] == ["halted", "refused", "resumed"],
        message="each is an event",
    )
