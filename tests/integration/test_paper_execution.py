"""POST /internal/execute: what is booked, what is refused, and what the same signal is told again."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.paper_gateway import Client, an_order, serving


@pytest.fixture
def gateway(database_url: str) -> Iterator[Client]:
    with serving(database_url) as client:
        yield client


def position(gateway: Client, user: str = "alice") -> dict[str, Any]:
    [position] = gateway.get(f"/api/positions?userId={user}").json()["positions"]
    return {name: position[name] for name in ("symbol", "quantity", "averagePrice")}


def test_a_buy_is_filled_and_booked(gateway: Client) -> None:
    session = gateway.start_session()
    reply = gateway.buy(session, 10, 150.25)
    assert reply.status_code == 201
    filled = reply.json()
    order_id = filled.pop("orderId")
    assert filled == {"status": "filled", "filledQuantity": 10, "filledPrice": 150.25, "balance": 98497.5}
    assert position(gateway) == {"symbol": "AAPL", "quantity": 10, "averagePrice": 150.25}
    [trade] = gateway.get("/api/trades?userId=alice").json()["trades"]
    assert (str(trade["tradeId"]), trade["sessionId"], trade["realizedPnl"]) == (order_id, session, None)


def test_buying_averages_the_price_and_selling_keeps_it(gateway: Client) -> None:
    session = gateway.start_session()
    gateway.buy(session, 10, 100)
    gateway.buy(session, 30, 120)
    assert position(gateway) == {"symbol": "AAPL", "quantity": 40, "averagePrice": 115}
    assert gateway.sell(session, 15, 130).json()["balance"] == 100000 - 1000 - 3600 + 1950
    assert position(gateway) == {"symbol": "AAPL", "quantity": 25, "averagePrice": 115}
    assert gateway.get("/api/portfolio?userId=alice").json()["realizedPnl"] == 225


def test_a_position_that_is_sold_off_is_gone(gateway: Client) -> None:
    session = gateway.start_session()
    gateway.buy(session, 0.1, 100)
    gateway.buy(session, 0.2, 200)
    assert gateway.sell(session, 0.1 + 0.2, 100).status_code == 201  # 0.30000000000000004
    assert gateway.get("/api/positions?userId=alice").json()["positions"] == []
    gateway.buy(session, 1, 50)
    assert position(gateway)["averagePrice"] == 50


def test_a_buy_may_spend_the_last_cent_and_no_more(gateway: Client) -> None:
    session = gateway.start_session()
    gateway.set_balance("1000")
    refused = gateway.buy(session, 10, 100.0000000001)
    assert (refused.status_code, refused.json()["error"]) == (400, "insufficient_funds")
    assert gateway.buy(session, 10, 100).json()["balance"] == 0
    assert gateway.buy(session, 0.0001, 0.01).status_code == 400


def test_a_sell_needs_the_position_of_its_own_session(gateway: Client) -> None:
    session, other = gateway.start_session(), gateway.start_session()
    gateway.buy(other, 5, 100)
    refused = gateway.sell(session, 1, 100)
    assert (refused.status_code, refused.json()["error"]) == (400, "insufficient_position")
    assert gateway.sell(other, 5.000000000001, 100).status_code == 400
    assert gateway.sell(other, 5, 100).status_code == 201


def test_the_session_must_be_known_and_running(gateway: Client) -> None:
    unknown = gateway.buy("no such session", 1, 1)
    assert (unknown.status_code, unknown.json()["error"]) == (404, "unknown_session")
    session = gateway.start_session()
    gateway.post(f"/sessions/{session}/stop")
    stopped = gateway.buy(session, 1, 1)
    assert (stopped.status_code, stopped.json()["error"]) == (404, "session_not_running")


def test_the_same_signal_is_told_the_same_again_and_executed_once(gateway: Client) -> None:
    order = an_order(gateway.start_session(), "BUY", 2, 10)
    first, second = gateway.execute(order), gateway.execute(order)
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert (second.status_code, second.content) == (201, first.content)
    assert gateway.count("trades") == 1
    assert gateway.balance() == 99980


def test_a_rejection_is_told_again_even_if_it_would_be_filled_now(gateway: Client) -> None:
    session = gateway.start_session()
    order = an_order(session, "SELL", 1, 10)
    first = gateway.execute(order)
    gateway.buy(session, 1, 10)
    second = gateway.execute(order)
    assert (first.status_code, first.content) == (second.status_code, second.content) == (400, first.content)
    assert second.headers["Idempotent-Replayed"] == "true"


def test_how_a_body_is_written_makes_it_no_other_one(gateway: Client) -> None:
    order = an_order(gateway.start_session(), "BUY", 2, 10)
    gateway.execute(order)
    rewritten = dict(reversed(order.items())) | {"quantity": 2.0, "price": 1e1}
    assert gateway.execute(rewritten).headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("changed", [{"quantity": 3, "qty": 3}, {"action": "SELL"}, {"metadata": {}}])
def test_another_body_under_the_same_key_is_refused(gateway: Client, changed: dict[str, Any]) -> None:
    order = an_order(gateway.start_session(), "BUY", 2, 10)
    gateway.execute(order)
    reply = gateway.execute(order | changed)
    assert (reply.status_code, reply.json()["error"]) == (422, "idempotency_key_reused")
    assert gateway.count("trades") == 1


def test_the_key_may_be_in_the_header_or_in_the_body(gateway: Client) -> None:
    order = an_order(gateway.start_session(), "BUY", 1, 10)
    key = {"Idempotency-Key": order["signalId"]}
    nameless = {name: value for name, value in order.items() if name != "signalId"}
    assert gateway.post("/internal/execute", order).status_code == 201
    assert gateway.post("/internal/execute", nameless, headers=key).status_code == 422
    assert gateway.post("/internal/execute", nameless).status_code == 400
    assert gateway.post("/internal/execute", order, headers={"Idempotency-Key": "x"}).status_code == 400


def test_what_became_of_a_signal_can_be_asked(gateway: Client) -> None:
    session = gateway.start_session()
    filled, rejected = an_order(session, "BUY", 1, 10), an_order(session, "SELL", 2, 10)
    unseen = gateway.get(f"/internal/executions/{filled['signalId']}")
    assert (unseen.status_code, unseen.json()["error"]) == (404, "unknown_signal")
    told = gateway.execute(filled).json()
    gateway.execute(rejected)
    found = gateway.get(f"/internal/executions/{filled['signalId']}")
    assert (found.status_code, found.json()) == (
        200,
        {"signalId": filled["signalId"], "statusCode": 201, **told},
    )
    found = gateway.get(f"/internal/executions/{rejected['signalId']}")
    assert found.status_code == 200
    assert (found.json()["status"], found.json()["error"]) == ("rejected", "insufficient_position")


def test_an_order_for_another_symbol_than_the_sessions_is_refused(gateway: Client) -> None:
    session = gateway.start_session("AAPL")
    refused = gateway.buy(session, 10, 100, symbol="MSFT")
    assert (refused.status_code, refused.json()["error"]) == (400, "symbol_mismatch")
    assert gateway.get("/api/positions?userId=alice").json()["positions"] == []
    assert gateway.buy(session, 10, 100).status_code == 201
