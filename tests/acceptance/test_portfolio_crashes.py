"""A worker killed at each step from an approval to filled orders: no initial order twice, none forgotten."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.conftest import LiveWorker, StartWorker, trade
from tests.acceptance.test_outbox_crashes import CountingGateway, kill
from tests.gateway_stub import Answer
from tests.integration.durable_outbox import open_connection, rows
from tests.integration.portfolio_stage import events, execution, orders, table
from tests.sample_approvals import approval_message
from tests.support import eventually


class Bench:
    """One database, one gateway that knows ids again, and workers that come and go."""

    def __init__(self, start: StartWorker, url: str, gateway: CountingGateway) -> None:
        self._start = start
        self.url = url
        self.gateway = gateway

    def worker(self, **settings: str) -> LiveWorker:
        return self._start(
            **{
                "DATABASE_URL": self.url,
                "GATEWAY_URL": self.gateway.url,
                "GATEWAY_IDEMPOTENT": "true",
                "GATEWAY_TIMEOUT": "60",
                **settings,
            }
        )

    def approve(self, worker: LiveWorker) -> None:
        message = approval_message(entry_rules=None, risk_params=None, allocation={"AAPL": 0.2, "MSFT": 0.2})
        worker.redis.xadd("strategy.approved", {"data": json.dumps(message)})

    def see(self, worker: LiveWorker, price: float = 100.25) -> None:
        """Publish trades until both symbols are heard of."""
        for symbol in ("AAPL", "MSFT"):
            worker.redis.publish(f"market_trades:{symbol}", json.dumps({**trade(symbol, 0), "price": price}))

    def until(self, worker: LiveWorker, condition: Callable[[], Any]) -> None:
        """Let prices flow by until something is true."""

        def holds() -> Any:
            self.see(worker)
            return condition()

        eventually(holds, 30)

    def bought_once(self, worker: LiveWorker) -> None:
        """Check that both initial orders were executed, exactly once, and are booked so."""
        self.until(worker, lambda: [row["status"] for row in orders(self.url)] == ["FILLED"] * 2)
        assert {row["symbol"]: int(row["quantity"]) for row in orders(self.url)} == {"AAPL": 199, "MSFT": 199}
        assert self.gateway.executions == {str(row["order_id"]): 1 for row in orders(self.url)}
        self.until(worker, lambda: len(execution(self.url)["positions"]) == 2)
        assert [event["type"] for event in events(self.url)].count("strategy.execution.started") == 1


@pytest.fixture
def gateway() -> Any:
    with CountingGateway(idempotent=True) as stub:
        yield stub


@pytest.fixture
def bench(database_url: str, gateway: CountingGateway, start_worker: StartWorker) -> Bench:
    return Bench(start_worker, database_url, gateway)


def ordered(bench: Bench) -> LiveWorker:
    """A worker that has written its initial orders."""
    worker = bench.worker()
    bench.approve(worker)
    bench.until(worker, lambda: len(orders(bench.url)) == 2)
    return worker


def test_killed_before_any_price_it_buys_when_prices_come(bench: Bench) -> None:
    worker = bench.worker()
    bench.approve(worker)
    eventually(lambda: table(bench.url, "strategy_executions"))
    kill(worker)
    bench.bought_once(bench.worker())


def test_killed_between_the_orders_and_the_outbox_it_gives_them_after_the_restart(bench: Bench) -> None:
    with open_connection(bench.url) as connection:
        cursor = connection.cursor()
        cursor.execute("BEGIN; LOCK TABLE signals IN EXCLUSIVE MODE")  # no signal can be written
        worker = ordered(bench)
        kill(worker)
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        cursor.execute("COMMIT")
    assert rows(bench.url) == []
    bench.bought_once(bench.worker())


def test_killed_after_the_gateway_executed_and_before_it_said_so(bench: Bench) -> None:
    bench.gateway.answer = bench.gateway.execute_and_hang
    worker = ordered(bench)
    eventually(lambda: bench.gateway.executions)
    kill(worker)
    bench.gateway.answer = bench.gateway.friendly
    bench.bought_once(bench.worker())


def test_killed_after_the_reply_and_before_it_was_booked(bench: Bench) -> None:
    bench.gateway.answer = lambda received: Answer(201, bench.gateway.friendly(received).body, delay=0.5)
    worker = ordered(bench)
    with open_connection(bench.url) as connection:
        cursor = connection.cursor()
        cursor.execute("BEGIN; LOCK TABLE execution_orders IN EXCLUSIVE MODE")  # nothing can be booked
        eventually(lambda: len(bench.gateway.executions) == 2, 20)
        eventually(lambda: worker.metric("worker_signals_total", "executed") == 2)
        kill(worker)
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        cursor.execute("COMMIT")
    bench.bought_once(bench.worker())


def test_a_worker_told_to_end_leaves_the_execution_active(bench: Bench) -> None:
    worker = bench.worker()
    bench.approve(worker)
    bench.bought_once(worker)
    worker.process.terminate()
    assert worker.process.wait() == 0
    assert execution(bench.url)["status"] == "active"
    again = bench.worker(CONTROL_TOKEN="secret")  # noqa: S106 — of this test
    key = str(execution(bench.url)["execution_id"])
    eventually(lambda: [each["execution_id"] for each in again.get("/executions").json()] == [key])
    authorised = {"Authorization": "Bearer secret"}
    assert again.post(f"/executions/{key}/stop").status_code == 401
    assert again.post(f"/executions/{key}/stop", authorised).status_code == 202
    bench.until(again, lambda: execution(bench.url)["status"] == "stopped")
    assert again.metric("strategy_executions_active") == 0
    assert again.metric("strategy_orders_filled_total") == 2
    assert execution(bench.url)["positions"] == {}


def test_told_so_it_closes_its_positions_before_it_ends(bench: Bench) -> None:
    worker = bench.worker(SHUTDOWN_CLOSE_POSITIONS="true")
    bench.approve(worker)
    bench.bought_once(worker)
    worker.process.terminate()
    assert worker.process.wait() == 0
    assert execution(bench.url)["status"] == "stopped"
    assert [row["side"] for row in orders(bench.url)] == ["BUY", "BUY", "SELL", "SELL"]
    topics = {topic: worker.redis.xlen(topic) for topic in ("strategy.execution", "strategy.positions")}
    assert topics["strategy.execution"] == 2
    assert topics["strategy.positions"] >= 1
