"""The paper gateway takes the orders of portfolio executions, and books them to the execution's user."""

import json
from decimal import Decimal
from typing import Any

from services.db_client import Database
from tests.integration.paper_gateway import Client, serving
from tests.integration.portfolio_stage import execution, take_approval
from tests.sample_approvals import USER, approval_message


def approved(url: str) -> str:
    take_approval(url, json.dumps(approval_message()).encode())
    return str(execution(url)["execution_id"])


def set_status(database: Database, status: str) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE strategy_executions SET status = %s, reason = 'x', stopped_at = now()", (status,)
        )


def orders(gateway: Client, key: str) -> list[dict[str, Any]]:
    found = gateway.get(f"/api/trades?userId={USER}&sessionId={key}").json()["trades"]
    return [{name: each[name] for name in ("symbol", "action", "quantity")} for each in found]


def test_orders_of_several_symbols_are_booked_to_the_user_of_the_execution(database_url: str) -> None:
    key = approved(database_url)
    with serving(database_url) as gateway:
        assert gateway.buy(key, 10, 100, symbol="AAPL").status_code == 201
        assert gateway.buy(key, 5, 200, symbol="MSFT").status_code == 201
        assert gateway.sell(key, 4, 110, symbol="AAPL").status_code == 201
        assert gateway.balance(USER) == Decimal(100_000) - 1000 - 1000 + 440
        held = gateway.get(f"/api/positions?userId={USER}").json()["positions"]
        assert {each["symbol"]: each["quantity"] for each in held} == {"AAPL": 6, "MSFT": 5}
        assert len(orders(gateway, key)) == 3


def test_an_order_that_comes_again_is_booked_once(database_url: str) -> None:
    key = approved(database_url)
    with serving(database_url) as gateway:
        first = gateway.buy(key, 10, 100, signalId="the-same")
        again = gateway.buy(key, 10, 100, signalId="the-same")
        assert (first.json(), again.headers["Idempotent-Replayed"]) == (again.json(), "true")
        assert gateway.count("trades") == 1


def test_only_the_symbols_of_the_approval_can_be_traded(database_url: str) -> None:
    key = approved(database_url)
    with serving(database_url) as gateway:
        refused = gateway.buy(key, 10, 100, symbol="IBM")
        assert (refused.status_code, refused.json()["error"]) == (400, "symbol_mismatch")


def test_orders_are_taken_until_the_execution_has_ended(database_url: str) -> None:
    key = approved(database_url)
    expected = {"active": 201, "paused": 201, "error": 201, "stopped": 404, "completed": 404}
    with serving(database_url) as gateway:
        found = {}
        for status in expected:
            set_status(gateway.database, status)
            found[status] = gateway.buy(key, 1, 100).status_code
    assert found == expected


def test_no_worker_is_asked_to_run_a_session_for_it(database_url: str) -> None:
    key = approved(database_url)
    with serving(database_url) as gateway:
        gateway.buy(key, 1, 100)
        with gateway.database.transaction() as cursor:
            cursor.execute("SELECT session_id, status FROM sessions")
            assert cursor.fetchall() == [(key, "STOPPED")]
