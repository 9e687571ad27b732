"""Faults on purpose, and faults of the database: what a worker sees, and that each order is booked once."""

import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
import requests

from services.db_client import migrate
from services.embedded import EmbeddedPostgres
from services.paper.options import Faults, PaperGatewayOptions
from tests.integration.paper_gateway import an_order, serving


def options(drop_rate: float = 0, fail_rate: float = 0, delay_seconds: float = 0) -> PaperGatewayOptions:
    faults = Faults(drop_rate=drop_rate, fail_rate=fail_rate, delay_seconds=delay_seconds, seed=7)
    return PaperGatewayOptions(faults=faults)


def test_a_dropped_reply_was_executed_exactly_once(database_url: str) -> None:
    with serving(database_url, options=options(drop_rate=1)) as gateway:
        order = an_order(gateway.start_session(), "BUY", 1, 10)
        with pytest.raises(requests.ConnectionError):
            gateway.execute(order)
        found = gateway.get(f"/internal/executions/{order['signalId']}").json()
        assert found["status"] == "filled"
        again = gateway.execute(order)
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
        assert again.json()["orderId"] == found["orderId"]
        assert gateway.balance() == 99990


def test_many_dropped_replies_on_kept_connections_leave_the_others_alone(database_url: str) -> None:
    with serving(database_url, options=options(drop_rate=0.5)) as gateway:
        session = gateway.start_session()

        def trade(_: int) -> int:
            order, attempts = an_order(session, "BUY", 1, 1), 0
            with requests.Session() as kept:
                while True:
                    attempts += 1
                    try:
                        reply = kept.post(f"{gateway.url}/internal/execute", json=order, timeout=30)
                    except requests.ConnectionError:
                        continue
                    assert reply.status_code == 201
                    return attempts

        with ThreadPoolExecutor(8) as threads:
            attempts = list(threads.map(trade, range(40)))
        assert set(attempts) == {1, 2}
        assert gateway.balance() == 99960


def test_an_injected_failure_executes_nothing(database_url: str) -> None:
    with serving(database_url, options=options(fail_rate=1)) as gateway:
        order = an_order(gateway.start_session(), "BUY", 1, 10)
        reply = gateway.execute(order)
        assert (reply.status_code, reply.json()["error"]) == (500, "injected_failure")
        assert gateway.count("paper_receipts") == 0


def test_a_seed_makes_the_same_requests_fail_again(database_url: str) -> None:
    def failures() -> list[int]:
        with serving(database_url, options=options(fail_rate=0.5)) as gateway:
            return [gateway.buy("nothing", 1, 1).status_code for _ in range(20)]

    first = failures()
    assert first == failures()
    assert set(first) == {404, 500}


def test_a_delay_holds_up_executions_and_nothing_else(database_url: str) -> None:
    with (
        serving(database_url, options=options(delay_seconds=3.0)) as gateway,
        ThreadPoolExecutor(50) as threads,
    ):
        session = gateway.start_session()
        started = time.monotonic()
        pending = [threads.submit(gateway.buy, session, 1, 1) for _ in range(45)]
        assert gateway.get("/api/portfolio").status_code == 200
        assert not any(each.done() for each in pending)
        assert {each.result().status_code for each in pending} == {201}
        assert time.monotonic() - started >= 3.0


def test_fee_and_slippage_of_the_options_are_charged(database_url: str) -> None:
    costs = PaperGatewayOptions(fee_bps=Decimal(10), slippage_bps=Decimal(50))
    with serving(database_url, options=costs) as gateway:
        filled = gateway.buy(gateway.start_session(), 10, 100).json()
        assert (filled["filledPrice"], filled["balance"]) == (100.5, 100000 - 1005 - 1.005)
        assert filled["fee"] == 1.005
        assert gateway.get("/api/portfolio?userId=alice").json()["fees"] == 1.005


def test_a_database_that_is_away_is_a_503_that_says_when_to_come_again(
    own_postgres: EmbeddedPostgres,
) -> None:
    migrate(own_postgres.url)
    with serving(own_postgres.url) as gateway:
        order = an_order(gateway.start_session(), "BUY", 1, 10)
        own_postgres.kill()
        reply = gateway.execute(order)
        assert (reply.status_code, reply.json()["error"]) == (503, "database_unavailable")
        assert reply.headers["Retry-After"] == "1"
        assert gateway.get("/health").json()["database"] is False
        own_postgres.restart()
        assert gateway.execute(order).status_code == 201


CUT_AT_COMMIT = """
    CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON trades DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION cut()
"""


def test_a_commit_without_an_answer_is_no_503_because_it_may_have_happened(database_url: str) -> None:
    with serving(database_url) as gateway:
        order = an_order(gateway.start_session(), "BUY", 1, 10)
        with gateway.database.transaction() as cursor:
            cursor.execute(CUT_AT_COMMIT)
        reply = gateway.execute(order)
        assert (reply.status_code, reply.json()["error"]) == (500, "outcome_unknown")
        with gateway.database.transaction() as cursor:
            cursor.execute("DROP TRIGGER cut ON trades")
        assert gateway.execute(order).status_code == 201
        assert gateway.count("trades") == 1


def test_a_database_without_tables_says_what_to_do(empty_database_url: str) -> None:
    with serving(empty_database_url) as gateway:
        reply = gateway.buy("s", 1, 1)
        assert (reply.status_code, reply.json()["error"]) == (503, "not_ready")
        assert "main.py migrate" in reply.json()["message"]
