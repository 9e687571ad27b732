"""A worker that has its signals executed by an OMS: both real processes, spoken to from outside alone."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.acceptance.conftest import LiveWorker, StartWorker
from tests.oms_stub import OmsStub
from tests.support import RunningProcess, eventually, free_port, running_process

TOKEN = "open-sesame"  # noqa: S105 — of this test
StartOms = Callable[..., RunningProcess]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start_oms(port: int) -> Iterator[StartOms]:
    """Start `python main.py oms`, again and again on one port."""
    with ExitStack() as stack:

        def start(*options: str) -> RunningProcess:
            command = [sys.executable, "main.py", "oms", "--port", str(port), *options]
            oms = stack.enter_context(running_process(command, {"OMS_TOKEN": TOKEN}))
            oms.said("reference OMS on ")
            return oms

        yield start


def by_oms(port: int, **settings: str) -> dict[str, str]:
    """The settings of a worker whose signals go to the OMS on this port."""
    address = f"127.0.0.1:{port}"
    return {"EXECUTION_ROUTE": "oms", "OMS_ADDRESS": address, "OMS_TOKEN": TOKEN, **settings}


def five_bars(worker: LiveWorker, symbol: str, start: int = 0) -> None:
    """Give the mock strategy as many bars as it takes to send one signal."""
    for minute in range(start, start + 5):
        worker.bar(symbol, minute)


def outcomes(worker: LiveWorker, key: str) -> dict[str, int]:
    found: dict[str, int] = worker.sessions()[key]["outcomes"]
    return found


def test_signals_are_executed_by_the_oms_also_after_it_was_killed(
    start_worker: StartWorker, start_oms: StartOms, port: int
) -> None:
    oms = start_oms("--reject-over-quantity", "5")
    worker = start_worker(**by_oms(port))
    worker.subscribe("AAPL", "mock", "s1")
    five_bars(worker, "AAPL")
    eventually(lambda: outcomes(worker, "s1") == {"executed": 1})
    position = worker.sessions()["s1"]["position"]
    assert (position["quantity"], position["averagePrice"]) == (1.0, 100.5)
    oms.kill()
    oms.wait()
    five_bars(worker, "AAPL", 5)
    eventually(lambda: "oms_unreachable" in worker.get("/ready").json().get("missing", {}).get("oms", ""))
    start_oms()
    eventually(lambda: outcomes(worker, "s1") == {"executed": 2}, 30)
    worker.wait_ready()
    assert worker.metric("worker_outbox_pending") == 0
    assert TOKEN not in worker.process.output


def test_an_order_in_the_hands_of_an_oms_that_died_is_unknown_and_halts_its_session(
    start_worker: StartWorker, port: int
) -> None:
    with OmsStub(port) as oms:
        oms.answers = lambda _: []
        worker = start_worker(**by_oms(port, ORDER_TIMEOUT="0.5", SIGNAL_TTL_SECONDS="2"))
        worker.subscribe("AAPL", "mock", "s1")
        five_bars(worker, "AAPL")
        [order] = eventually(lambda: oms.orders)
    eventually(lambda: worker.sessions()["s1"]["state"] == "HALTED")
    assert "no final answer within 0.5 s" in worker.sessions()["s1"]["reason"]
    assert worker.metric("worker_signals_total", "unknown") == 1
    assert (order.symbol, order.quantity, order.strategy_id) == ("AAPL", 1, "mock")
