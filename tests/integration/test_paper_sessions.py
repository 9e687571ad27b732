"""Starting and stopping sessions: the row, the set of active symbols, and the events that workers hear."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from services.embedded import EmbeddedValkey
from tests.integration.paper_gateway import Client, serving
from tests.support import eventually

CHANNEL = "system:subscription_updates"


@pytest.fixture
def gateway(database_url: str, redis_url: str) -> Iterator[Client]:
    with serving(database_url, redis_url) as client:
        yield client


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def heard(client: redis.Redis) -> Iterator[Callable[[int], list[dict[str, Any]]]]:
    """Call it with how many events are expected; it returns what was published since the last call."""
    with client.pubsub() as listener:  # type: ignore[no-untyped-call]  # redis-py left it out
        listener.subscribe(CHANNEL)
        listener.get_message(timeout=5)
        client.publish(CHANNEL, "{}")  # marks that the subscription stands
        eventually(lambda: listener.get_message(ignore_subscribe_messages=True))

        def next_events(count: int) -> list[dict[str, Any]]:
            client.publish(CHANNEL, '{"the":"end"}')
            events: list[dict[str, Any]] = []
            while not events or "the" not in events[-1]:
                message = eventually(lambda: listener.get_message(ignore_subscribe_messages=True))
                events.append(json.loads(message["data"]))
            assert len(events) == count + 1, events
            return events[:-1]

        yield next_events


def test_a_session_is_a_row_a_member_and_an_event(
    gateway: Client, client: redis.Redis, heard: Callable[[int], list[dict[str, Any]]]
) -> None:
    body = {"symbol": "BTC/USD", "type": "crypto", "strategyId": "mock", "userId": "alice"}
    reply = gateway.post("/sessions", body)
    assert reply.status_code == 201
    session = reply.json()
    assert session.pop("startedAt").endswith("Z")
    session_id = session.pop("sessionId")
    assert session == body | {"mode": "paper", "status": "RUNNING", "endedAt": None, "published": True}
    assert client.smembers("active_subscriptions:crypto") == {"BTC/USD"}
    assert heard(1) == [
        {
            "action": "subscribe",
            "symbol": "BTC/USD",
            "type": "crypto",
            "strategyId": "mock",
            "sessionId": session_id,
        }
    ]


def test_the_symbol_is_given_up_with_its_last_session(
    gateway: Client, client: redis.Redis, heard: Callable[[int], list[dict[str, Any]]]
) -> None:
    first, second = gateway.start_session(), gateway.start_session()
    heard(2)
    stopped = gateway.post(f"/sessions/{first}/stop").json()
    assert (stopped["status"], stopped["published"]) == ("STOPPED", True)
    assert stopped["endedAt"] >= stopped["startedAt"]
    unsubscribe = {"action": "unsubscribe", "symbol": "AAPL", "type": "stock"}
    assert heard(1) == [unsubscribe | {"strategyId": "mock", "sessionId": first}]
    assert client.smembers("active_subscriptions:stock") == {"AAPL"}
    gateway.post(f"/sessions/{second}/stop")
    assert heard(2) == [unsubscribe | {"strategyId": "mock", "sessionId": second}, unsubscribe]
    assert client.smembers("active_subscriptions:stock") == set()


def test_a_symbol_of_two_types_is_given_up_type_by_type(
    gateway: Client, client: redis.Redis, heard: Callable[[int], list[dict[str, Any]]]
) -> None:
    stock, _crypto = gateway.start_session("X"), gateway.start_session("X", type="crypto")
    heard(2)
    gateway.post(f"/sessions/{stock}/stop")
    assert heard(1)[0]["sessionId"] == stock  # no event that would end the other one
    assert client.smembers("active_subscriptions:stock") == set()
    assert client.smembers("active_subscriptions:crypto") == {"X"}


def test_stopping_twice_says_the_same_and_tells_workers_again(
    gateway: Client, heard: Callable[[int], list[dict[str, Any]]]
) -> None:
    session = gateway.start_session()
    first = gateway.post(f"/sessions/{session}/stop")
    heard(3)
    second = gateway.post(f"/sessions/{session}/stop")
    assert (second.status_code, second.json()) == (200, first.json())
    assert len(heard(2)) == 2


def test_a_session_may_bring_its_id_but_not_one_that_is_taken(gateway: Client) -> None:
    assert gateway.start_session(sessionId="mine/1") == "mine/1"
    again = {"symbol": "MSFT", "type": "stock", "strategyId": "mock", "sessionId": "mine/1"}
    reply = gateway.post("/sessions", again)
    assert (reply.status_code, reply.json()["error"]) == (409, "session_exists")
    assert gateway.post("/sessions/mine/1/stop").json()["status"] == "STOPPED"


def test_an_unknown_session_cannot_be_stopped(gateway: Client) -> None:
    reply = gateway.post("/sessions/nothing/stop")
    assert (reply.status_code, reply.json()["error"]) == (404, "unknown_session")


def test_without_a_user_the_session_is_the_default_users(gateway: Client) -> None:
    body = {"symbol": "AAPL", "type": "stock", "strategyId": "mock"}
    assert gateway.post("/sessions", body).json()["userId"] == "paper"
    assert gateway.get("/api/portfolio").json()["balance"] == 100000


def test_a_session_without_redis_is_kept_and_says_that_nobody_was_told(
    database_url: str, own_valkey: EmbeddedValkey
) -> None:
    with serving(database_url, own_valkey.url) as gateway:
        own_valkey.kill()
        body = {"symbol": "AAPL", "type": "stock", "strategyId": "mock", "sessionId": "s"}
        reply = gateway.post("/sessions", body)
        assert (reply.status_code, reply.json()["published"]) == (201, False)
        assert gateway.buy("s", 1, 1).status_code == 201
        health = gateway.get("/health")
        assert (health.status_code, health.json()) == (
            503,
            {"status": "degraded", "database": True, "redis": False},
        )
        own_valkey.restart()
        stopped = gateway.post("/sessions/s/stop").json()
        assert (stopped["status"], stopped["published"]) == ("STOPPED", True)
        assert gateway.get("/health").json() == {"status": "ok", "database": True, "redis": True}
