"""What users read about their accounts."""

from collections.abc import Iterator

import pytest

from tests.integration.paper_gateway import Client, serving


@pytest.fixture
def gateway(database_url: str) -> Iterator[Client]:
    with serving(database_url) as client:
        yield client


def test_a_portfolio_adds_up(gateway: Client) -> None:
    first, second = gateway.start_session(), gateway.start_session("MSFT")
    gateway.buy(first, 10, 100)
    gateway.buy(second, 4, 50, symbol="MSFT")
    gateway.sell(first, 5, 120)
    portfolio = gateway.get("/api/portfolio?userId=alice").json()
    positions = portfolio.pop("positions")
    assert portfolio == {
        "userId": "alice",
        "username": "alice",
        "balance": 99400,
        "costBasis": 700,
        "equity": 100100,
        "realizedPnl": 100,
        "fees": 0,
        "trades": 3,
    }
    assert [(each["symbol"], each["sessionId"], each["costBasis"]) for each in positions] == [
        ("AAPL", first, 500),
        ("MSFT", second, 200),
    ]


def test_trades_come_in_pages_oldest_first(gateway: Client) -> None:
    session = gateway.start_session()
    for price in range(1, 6):
        gateway.buy(session, 1, price)
    prices, after, pages = [], 0, 0
    while after is not None:
        page = gateway.get(f"/api/trades?userId=alice&limit=2&after={after}").json()
        prices += [trade["price"] for trade in page["trades"]]
        after, pages = page["after"], pages + 1
    assert (prices, pages) == ([1, 2, 3, 4, 5], 3)


def test_users_see_their_own_and_sessions_can_be_told_apart(gateway: Client) -> None:
    mine, other = gateway.start_session(), gateway.start_session()
    gateway.buy(gateway.start_session(user="bob"), 1, 10)
    gateway.buy(mine, 1, 20)
    gateway.buy(other, 1, 30)
    for table in ("positions", "trades"):
        assert len(gateway.get(f"/api/{table}?userId=alice").json()[table]) == 2
        assert len(gateway.get(f"/api/{table}?userId=alice&sessionId={mine}").json()[table]) == 1


def test_the_default_user_is_there_before_anybody_traded(gateway: Client) -> None:
    assert gateway.get("/api/portfolio").json()["equity"] == 100000
    assert gateway.get("/api/positions").json() == {"userId": "paper", "positions": []}
    assert gateway.get("/api/trades").json() == {"userId": "paper", "trades": [], "after": None}


@pytest.mark.parametrize("what", ["portfolio", "positions", "trades"])
def test_a_user_not_seen_yet_is_unknown(gateway: Client, what: str) -> None:
    reply = gateway.get(f"/api/{what}?userId=nobody")
    assert (reply.status_code, reply.json()["error"]) == (404, "unknown_user")


@pytest.mark.parametrize("wrong", ["limit=0", "limit=1001", "limit=x", "after=-1", "userId=", "userId=%00"])
def test_wrong_parameters_are_a_400_in_json(gateway: Client, wrong: str) -> None:
    reply = gateway.get(f"/api/trades?{wrong}")
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")
    assert wrong.partition("=")[0] in reply.json()["message"]
