"""A portfolio whose worker is told to end. What becomes of one that is killed, the experiments show."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.conftest import LiveWorker, StartWorker, trade
from tests.acceptance.test_outbox_crashes import CountingGateway
from tests.integration.portfolio_stage import events, execution, orders
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
