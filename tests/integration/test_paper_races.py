"""Orders that come at the same time: each exactly once, and no account is overdrawn."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.paper_gateway import Client, an_order, serving


@pytest.fixture
def gateway(database_url: str) -> Iterator[Client]:
    with serving(database_url) as client:
        yield client


def test_twenty_times_the_same_signal_at_once_is_one_execution(gateway: Client) -> None:
    order = an_order(gateway.start_session(), "BUY", 1, 100)
    with ThreadPoolExecutor(20) as threads:
        replies = list(threads.map(gateway.execute, [order] * 20))
    assert {(reply.status_code, reply.content) for reply in replies} == {(201, replies[0].content)}
    assert Counter("Idempotent-Replayed" in reply.headers for reply in replies) == {True: 19, False: 1}
    assert gateway.count("trades") == 1
    assert gateway.balance() == 99900


def test_of_two_bodies_racing_under_one_key_one_wins(gateway: Client) -> None:
    order = an_order(gateway.start_session(), "BUY", 1, 100)
    other = order | {"price": 200}
    with ThreadPoolExecutor(10) as threads:
        replies = list(threads.map(gateway.execute, [order, other] * 5))
    assert Counter(reply.status_code for reply in replies) == {201: 5, 422: 5}
    assert gateway.count("trades") == 1


def test_racing_buys_cannot_overdraw_a_balance(gateway: Client) -> None:
    sessions = [gateway.start_session() for _ in range(4)]
    gateway.set_balance("1000")
    with ThreadPoolExecutor(20) as threads:
        replies = list(threads.map(lambda number: gateway.buy(sessions[number % 4], 1, 100), range(20)))
    assert Counter(reply.status_code for reply in replies) == {201: 10, 400: 10}
    assert gateway.balance() == 0


def test_racing_sells_cannot_sell_a_position_twice(gateway: Client) -> None:
    session = gateway.start_session()
    gateway.buy(session, 5, 10)
    with ThreadPoolExecutor(20) as threads:
        replies = list(threads.map(lambda _: gateway.sell(session, 1, 10), range(20)))
    assert Counter(reply.status_code for reply in replies) == {201: 5, 400: 15}
    assert gateway.balance() == 100000


def test_two_users_trade_in_parallel_without_disturbing_each_other(gateway: Client) -> None:
    sessions = {user: gateway.start_session(user=user) for user in ("alice", "bob")}

    def trade(number: int) -> int:
        session = sessions["alice" if number % 2 else "bob"]
        return gateway.buy(session, 1, 10 + number % 2).status_code

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(trade, range(60))) == {201}
    assert gateway.balance("alice") == 100000 - 30 * 11
    assert gateway.balance("bob") == 100000 - 30 * 10


def test_every_signal_is_a_trade_or_a_rejection_after_a_storm_of_repeats(gateway: Client) -> None:
    """Buys, sells and stops of sessions of two users, every request sent twice, in any order."""
    sessions = [gateway.start_session(user=user) for user in ("alice", "bob") for _ in range(3)]
    orders = [
        an_order(sessions[number % 6], "SELL" if number % 3 else "BUY", 1, 10 + number)
        for number in range(60)
    ]

    def send(number: int) -> int:
        if number == 70:
            return gateway.post(f"/sessions/{sessions[0]}/stop").status_code
        return gateway.execute(orders[number % 60]).status_code

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(send, range(120))) <= {200, 201, 400, 404}
    trades, receipts = gateway.count("trades"), gateway.count("paper_receipts")
    assert receipts == 60
    assert 0 < trades < 60
    assert gateway.count("paper_receipts WHERE status_code = 201") == trades
    assert gateway.count("paper_receipts WHERE status_code IN (400, 404)") == 60 - trades
