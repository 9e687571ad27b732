"""`session start|stop|list`, over a real Redis and against a real worker."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
import typer

from config import Settings
from models.errors import StorageUnavailable
from services.commands.peers import redis_of
from services.commands.session import announce, control_event
from tests.gateway_stub import GatewayStub
from tests.integration.command_line import command, program
from tests.integration.served_worker import serving
from tests.support import eventually, free_port, running_process

CONTROL_CHANNEL = "system:subscription_updates"


class Listener:
    """Hears the control channel, as a worker does."""

    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub

    def heard(self) -> dict[str, Any]:
        """Wait for the next control event."""
        message = eventually(lambda: self._pubsub.get_message(ignore_subscribe_messages=True))
        return dict(json.loads(message["data"]))


@pytest.fixture
def listener(redis_url: str) -> Iterator[Listener]:
    with listening(redis_url) as heard:
        yield heard


@contextmanager
def listening(redis_url: str) -> Iterator[Listener]:
    with redis.Redis.from_url(redis_url) as client, client.pubsub() as pubsub:
        pubsub.subscribe(CONTROL_CHANNEL)
        eventually(lambda: dict(client.pubsub_numsub(CONTROL_CHANNEL))[CONTROL_CHANNEL.encode()] == 1)
        yield Listener(pubsub)


def test_start_publishes_the_subscribe_event_of_the_contract(redis_url: str, listener: Listener) -> None:
    ended = command(
        "session", "start", "BTC/USD", "--strategy", "sma_cross", "--session", "s1", REDIS_URL=redis_url
    )
    assert listener.heard() == {
        "action": "subscribe",
        "symbol": "BTC/USD",
        "type": "crypto",
        "strategyId": "sma_cross",
        "sessionId": "s1",
    }
    assert ended.code == 0
    assert "session s1 of sma_cross on BTC/USD; 1 subscriber heard it" in ended.output


def test_stop_publishes_only_what_it_was_given(redis_url: str, listener: Listener) -> None:
    ended = command("session", "stop", "AAPL", "--json", REDIS_URL=redis_url)
    event = {"action": "unsubscribe", "symbol": "AAPL", "type": "stock"}
    assert listener.heard() == event
    assert ended.json == {"channel": CONTROL_CHANNEL, "event": event, "subscribers": 1}
    assert ended.code == 0


@pytest.mark.parametrize("symbol", ["A A", "", "A" * 33, "AAPL\n", "*", "ÄPL"])
def test_a_symbol_that_a_worker_would_refuse_is_refused_here(symbol: str) -> None:
    with pytest.raises(typer.BadParameter, match="nothing was published: symbol"):
        control_event("subscribe", symbol, None, None, None)


def test_a_refused_symbol_is_wrong_use_and_nobody_hears_of_it(redis_url: str, listener: Listener) -> None:
    ended = command("session", "start", "A*", REDIS_URL=redis_url)
    assert ended.code == 2
    assert "symbol" in ended.output
    assert command("session", "start", "NEXT", REDIS_URL=redis_url).code == 0
    assert listener.heard()["symbol"] == "NEXT"


def test_the_type_that_is_given_wins_over_the_look_of_the_symbol() -> None:
    assert json.loads(control_event("subscribe", "BTC/USD", None, None, "stock"))["type"] == "stock"


def test_when_nobody_listens_the_command_fails_and_says_to_start_a_worker(redis_url: str) -> None:
    ended = command("session", "start", "AAPL", REDIS_URL=redis_url)
    assert ended.code == 1
    assert "no worker listens" in ended.output
    assert "python main.py" in ended.output


def test_the_number_of_subscribers_is_that_of_those_who_heard(redis_url: str) -> None:
    event = control_event("subscribe", "AAPL", "mock", None, None)
    settings = Settings(redis_url=redis_url)
    with listening(redis_url) as first:
        with redis.Redis.from_url(redis_url) as client, client.pubsub() as second:
            second.psubscribe("system:*")
            eventually(lambda: client.pubsub_numpat() == 1)
            assert announce(settings, event, "asked", as_json=False) == 2
        assert first.heard()["strategyId"] == "mock"


def test_redis_that_is_down_is_said_with_what_to_do_and_without_its_password() -> None:
    url = f"redis://:top-secret@127.0.0.1:{free_port()}/0"
    ended = command("session", "start", "AAPL", REDIS_URL=url)
    assert ended.code == 1
    assert "start it, or correct REDIS_URL" in ended.output
    assert "top-secret" not in ended.output


def test_a_password_that_redis_refuses_is_said(redis_url: str) -> None:
    wrong = Settings(redis_url=redis_url.replace("redis://:", "redis://:not"))
    with (
        pytest.raises(StorageUnavailable, match="refuses the user or the password"),
        redis_of(wrong) as client,
    ):
        client.ping()


def test_sessions_of_a_real_worker_start_show_and_stop(redis_url: str) -> None:
    settings = {"REDIS_URL": redis_url, "HEALTH_PORT": str(free_port()), "METRICS_PORT": "0"}

    def states() -> dict[str, str]:
        ended = command("session", "list", "--json", **settings)
        return {each["key"]: each["state"] for each in ended.json} if ended.code == 0 else {"?": ended.output}

    with running_process([sys.executable, "main.py"], settings):
        eventually(lambda: states() == {}, 30)
        eventually(lambda: command("session", "start", "AAPL", "--session", "s1", **settings).code == 0)
        eventually(lambda: states() == {"s1": "RUNNING"})
        table = command("session", "list", **settings)
        assert table.code == 0
        assert all(word in table.output for word in ("s1", "AAPL", "mock", "RUNNING"))
        assert command("session", "stop", "AAPL", "--session", "s1", **settings).code == 0
        eventually(lambda: states() == {})


def test_no_worker_there_is_a_failure_that_says_where_it_was_looked_for() -> None:
    port = free_port()
    ended = program("session", "list", HEALTH_PORT=str(port))
    assert ended.code == 1
    assert f"no worker answers at http://127.0.0.1:{port}" in ended.output


def test_a_worker_without_a_health_port_is_a_matter_of_configuration() -> None:
    ended = command("session", "list", HEALTH_PORT="0")
    assert ended.code == 2
    assert "HEALTH_PORT is 0" in ended.output


def test_what_a_worker_tells_of_a_session_cannot_drive_the_terminal() -> None:
    with serving() as served:
        served.worker.rows.append(
            {
                "key": "s\x1b[2J",
                "symbol": "AAPL",
                "state": "ERROR",
                "reason": "[red]no\u202e",
                "strategyId": "x",
            }
        )
        ended = command("session", "list", HEALTH_PORT=str(served.health_port))
    assert ended.code == 0
    assert "\x1b" not in ended.output
    assert "s\\x1b[2J" in ended.output
    assert "[red]no\\u202e" in ended.output


def test_a_program_that_is_no_worker_is_not_taken_for_one() -> None:
    with GatewayStub() as other:
        ended = command("session", "list", HEALTH_PORT=str(other.port))
    assert ended.code == 1
    assert "is no worker" in ended.output
