"""Two workers told to run the same sessions: one does, and the other takes over when it is no more."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from services.embedded import EmbeddedValkey
from services.session_registry import REGISTRY
from tests.acceptance.conftest import LiveWorker, StartWorker
from tests.gateway_stub import Answer, GatewayStub
from tests.integration.durable_outbox import statuses
from tests.support import eventually

# Long: whoever waits for its end fails. Short: not shorter than a slow machine may hold up a thread.
LONG_LEASE, SHORT_LEASE = "300", "3"


@pytest.fixture
def gateway() -> Iterator[GatewayStub]:
    with GatewayStub() as stub:
        yield stub


class Pair:
    """Two workers, and which of them runs the session `s1`."""

    def __init__(self, start: StartWorker, **settings: str) -> None:
        self._workers = [start(ready=False, **settings) for _ in range(2)]
        for worker in self._workers:
            worker.wait_ready()
        self._workers[0].control("subscribe", "AAPL", "mock", "s1")
        self._settled(self._workers)

    def _settled(self, workers: list[LiveWorker]) -> None:
        eventually(lambda: sorted(map(state, workers)) == ["RUNNING", "STANDBY"], 30)
        self.owner, self.standby = sorted(workers, key=state)

    def settled(self) -> None:
        """Wait until one of them runs it and the other stands by."""
        self._settled(self._workers)

    def bars(self, first: int, count: int) -> None:
        """Publish bars; `mock` decides on every fifth that it hears."""
        for minute in range(first, first + count):
            self.owner.bar("AAPL", minute)

    def taken_over(self) -> None:
        """Wait until the one that stood by runs the session."""
        eventually(lambda: state(self.standby) == "RUNNING", 60)


def state(worker: LiveWorker) -> str:
    answer = worker.get("/sessions")  # one that was frozen may cut the connection that it had
    states = {each["key"]: str(each["state"]) for each in answer.json()} if answer.ok else {}
    return states.get("s1", "gone")


def registered(worker: LiveWorker) -> dict[str, Any]:
    entry: Any = worker.redis.hget(REGISTRY, "s1")
    return dict(json.loads(entry)) if entry else {}


def test_one_runs_the_session_and_the_other_stands_by_until_both_are_told_that_it_ended(
    start_worker: StartWorker,
) -> None:
    pair = Pair(start_worker)
    assert str(pair.owner.process.pid) in pair.standby.sessions()["s1"]["reason"]
    assert pair.standby.metric("worker_sessions", "STANDBY") == 1
    eventually(lambda: registered(pair.owner).get("state") == "RUNNING")
    assert registered(pair.owner)["worker"].endswith(f"-{pair.owner.process.pid}")
    pair.owner.control("subscribe", "AAPL", "mock", "s1")
    pair.bars(0, 1)
    eventually(lambda: pair.owner.sessions()["s1"]["bars"] == 1)
    assert pair.standby.delivered() == 0
    pair.owner.control("unsubscribe", "AAPL", session="s1")
    eventually(lambda: state(pair.owner) == state(pair.standby) == "gone")
    eventually(lambda: not registered(pair.owner))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_after_the_end_of_a_worker_the_other_goes_on_before_its_leases_expire(
    database_url: str, gateway: GatewayStub, start_worker: StartWorker, number: int
) -> None:
    pair = Pair(start_worker, DATABASE_URL=database_url, GATEWAY_URL=gateway.url, LEASE_SECONDS=LONG_LEASE)
    pair.bars(0, 10)
    eventually(lambda: statuses(database_url) == ["executed"] * 2)
    os.kill(pair.owner.process.pid, number)
    pair.owner.process.wait()
    pair.taken_over()
    pair.bars(10, 5)
    eventually(lambda: statuses(database_url) == ["executed"] * 3)
    assert len({post.signal_id for post in gateway.posts}) == len(gateway.posts) == 3
    eventually(lambda: pair.standby.sessions()["s1"]["outcomes"] == {"executed": 1})
    assert pair.standby.sessions()["s1"]["position"]["quantity"] != 0
    eventually(lambda: registered(pair.standby)["worker"].endswith(f"-{pair.standby.process.pid}"))


def test_a_frozen_worker_sends_nothing_more_and_what_it_had_decided_is_sent_once(
    database_url: str, gateway: GatewayStub, start_worker: StartWorker
) -> None:
    gateway.answer = lambda received: (
        Answer(429, headers={"Retry-After": "3"}) if received.method == "POST" else gateway.friendly(received)
    )
    pair = Pair(
        start_worker,
        DATABASE_URL=database_url,
        GATEWAY_URL=gateway.url,
        LEASE_SECONDS=SHORT_LEASE,
    )
    pair.bars(0, 5)
    eventually(lambda: gateway.posts)  # and it waits to be sent again
    os.kill(pair.owner.process.pid, signal.SIGSTOP)
    try:
        pair.taken_over()
        gateway.answer = gateway.friendly
        pair.bars(5, 5)  # the frozen one will hear of them too
        eventually(lambda: pair.standby.sessions()["s1"]["outcomes"] == {"executed": 2}, 30)
        posted = len(gateway.posts)
    finally:
        os.kill(pair.owner.process.pid, signal.SIGCONT)
    eventually(lambda: state(pair.owner) == "STANDBY")
    assert "lease_lost" in pair.owner.process.output
    eventually(lambda: pair.owner.metric("worker_outbox_pending") == 0)
    assert len(gateway.posts) == posted
    eventually(lambda: statuses(database_url) == ["executed"] * 2)


def test_after_redis_lost_its_data_one_of_them_has_the_session_not_both(
    own_valkey: EmbeddedValkey, start_worker: StartWorker
) -> None:
    pair = Pair(start_worker, REDIS_URL=own_valkey.url, RECONCILE_SECONDS="0.5")
    own_valkey.restart()
    for worker in (pair.owner, pair.standby):
        eventually(lambda worker=worker: worker.get("/ready").status_code == 200, 30)  # type: ignore[misc]
    pair.settled()
    pair.bars(0, 4)
    eventually(lambda: pair.owner.sessions()["s1"]["bars"] == 4)
    assert pair.standby.delivered() == 0
