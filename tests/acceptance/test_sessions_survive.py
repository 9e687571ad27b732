"""Sessions over restarts of the worker and of Redis, with and without rows in the table."""

import json
import signal
from typing import Any

import psycopg2
import pytest

from services.db_client import migrate
from services.embedded import EmbeddedPostgres, EmbeddedValkey
from services.session_registry import REGISTRY
from tests.acceptance.conftest import LiveWorker, StartWorker
from tests.gateway_stub import SILENT_DROP, Answer, GatewayStub, Received
from tests.support import eventually


class Platform:
    """Writes the table `sessions` as a Gateway does."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True
        self.execute("INSERT INTO users (user_id, username) VALUES ('u1', 'alice')")

    def execute(self, statement: str, *values: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)

    def start(self, session_id: str, symbol: str, strategy: str = "sma_cross") -> None:
        self.execute(
            "INSERT INTO sessions (session_id, strategy_id, user_id, symbol, type)"
            " VALUES (%s, %s, 'u1', %s, 'stock')",
            session_id,
            strategy,
            symbol,
        )

    def stop(self, session_id: str) -> None:
        self.execute(
            "UPDATE sessions SET status = 'STOPPED', ended_at = now() WHERE session_id = %s", session_id
        )

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def platform(database_url: str) -> Any:
    platform = Platform(database_url)
    yield platform
    platform.close()


def registered(worker: LiveWorker) -> dict[str, dict[str, Any]]:
    entries: Any = worker.redis.hgetall(REGISTRY)
    return {key.decode(): json.loads(entry) for key, entry in entries.items()}


def drop_and_deny(received: Received) -> Answer:
    """Never say what became of a signal, neither at once nor when asked."""
    return SILENT_DROP if received.method == "POST" else Answer.of(404, {"error": "not found"})


def restart(start_worker: StartWorker, worker: LiveWorker, number: int, **settings: str) -> LiveWorker:
    """End a worker by a signal and start another."""
    if number == signal.SIGKILL:
        worker.process.kill()
    else:
        worker.process.terminate()
    worker.process.wait()
    return start_worker(**settings)


def test_the_registry_shows_every_session_in_the_fields_of_the_contract(start_worker: StartWorker) -> None:
    worker = start_worker()
    worker.subscribe("BTC/USD", "mock", "s1")
    worker.control("subscribe", "AAPL", "nothing", "s2")
    entries = eventually(lambda: held if (held := registered(worker)).keys() == {"s1", "s2"} else None)
    eventually(lambda: registered(worker)["s1"]["state"] == "RUNNING")
    entries = registered(worker)
    assert entries["s1"].keys() == {
        "symbol",
        "type",
        "strategyId",
        "sessionId",
        "state",
        "reason",
        "startedAt",
        "worker",
    }
    assert (entries["s2"]["state"], entries["s2"]["symbol"]) == ("ERROR", "AAPL")
    worker.control("unsubscribe", "BTC/USD", session="s1")
    eventually(lambda: registered(worker).keys() == {"s2"})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_sessions_run_again_after_the_worker_ended(start_worker: StartWorker, number: int) -> None:
    worker = start_worker()
    worker.subscribe("AAPL", "sma_cross", "s1")
    worker.subscribe("AAPL", "mock")
    worker.subscribe("MSFT", "mock")
    worker.subscribe("BTC/USD")
    keys = {"s1", "mock", "mock@MSFT", "strat_BTC/USD"}
    eventually(
        lambda: {key for key, each in registered(worker).items() if each["state"] == "RUNNING"} == keys
    )
    before = {key: session["startedAt"] for key, session in worker.sessions().items()}
    worker = restart(start_worker, worker, number)
    assert {key: session["startedAt"] for key, session in worker.sessions().items()} == before
    assert {session["state"] for session in worker.sessions().values()} == {"RUNNING"}


def test_what_the_table_says_is_done_however_few_events_were_heard(
    start_worker: StartWorker, platform: Platform, database_url: str
) -> None:
    platform.start("s1", "AAPL")
    platform.start("s2", "MSFT")
    worker = start_worker(DATABASE_URL=database_url, RECONCILE_SECONDS="0.2")
    assert worker.sessions().keys() == {"s1", "s2"}
    platform.stop("s1")
    platform.start("s3", "IBM")
    eventually(lambda: worker.sessions().keys() == {"s2", "s3"})


def test_a_session_stopped_while_the_worker_was_down_does_not_come_back(
    start_worker: StartWorker, platform: Platform, database_url: str
) -> None:
    platform.start("s1", "AAPL")
    worker = start_worker(DATABASE_URL=database_url)
    worker.subscribe("IBM", "mock", "without-a-row")
    eventually(lambda: registered(worker).keys() == {"s1", "without-a-row"})
    worker.process.kill()
    worker.process.wait()
    platform.stop("s1")
    platform.start("s2", "MSFT")
    worker = start_worker(DATABASE_URL=database_url)
    assert worker.sessions().keys() == {"s2", "without-a-row"}
    eventually(lambda: registered(worker).keys() == {"s2", "without-a-row"})


def test_sessions_go_on_over_a_restart_of_redis_and_are_written_down_again(
    start_worker: StartWorker, own_valkey: EmbeddedValkey
) -> None:
    worker = start_worker(REDIS_URL=own_valkey.url)
    worker.subscribe("AAPL", "mock", "s1")
    own_valkey.restart()  # it keeps nothing
    eventually(lambda: registered(worker).keys() == {"s1"})
    eventually(lambda: worker.get("/ready").status_code == 200)
    assert worker.metric("worker_gaps_total", "control") == 1
    worker.bar("AAPL", 0)
    eventually(lambda: worker.sessions()["s1"]["bars"] == 1)


def test_while_the_database_is_away_sessions_wait_and_start_when_it_answers(
    start_worker: StartWorker, own_postgres: EmbeddedPostgres
) -> None:
    migrate(own_postgres.url)
    settings = {"DATABASE_URL": own_postgres.url, "RECONCILE_SECONDS": "0.2"}
    worker = start_worker(**settings)
    worker.subscribe("AAPL", "sma_cross", "s1")
    eventually(lambda: registered(worker).get("s1", {}).get("state") == "RUNNING")
    own_postgres.kill()
    worker.process.kill()
    worker.process.wait()
    worker = start_worker(ready=False, **settings)
    eventually(lambda: worker.get("/sessions").status_code == 200, 30)
    session = eventually(lambda: worker.sessions().get("s1"), 30)
    assert session["state"] == "PENDING"
    assert worker.get("/ready").status_code == 503
    own_postgres.restart()
    eventually(lambda: worker.sessions()["s1"]["state"] == "RUNNING", 30)
    eventually(lambda: worker.get("/ready").status_code == 200, 30)


def test_a_halted_session_is_still_halted_after_a_restart(start_worker: StartWorker) -> None:
    with GatewayStub() as gateway:
        gateway.answer = drop_and_deny
        settings = {"GATEWAY_URL": gateway.url, "SIGNAL_TTL_SECONDS": "1"}
        worker = start_worker(**settings)
        worker.subscribe("AAPL", "mock", "s1")
        for minute in range(5):
            worker.bar("AAPL", minute)
        eventually(lambda: registered(worker)["s1"]["state"] == "HALTED")
        worker = restart(start_worker, worker, signal.SIGKILL, **settings)
        session = worker.sessions()["s1"]
        assert session["state"] == "HALTED"
        assert session["reason"]


@pytest.mark.parametrize("durable", [True, False], ids=["with a database", "without"])
def test_an_outcome_that_becomes_unknown_while_the_worker_stops_halts_the_session_at_its_next_start(
    start_worker: StartWorker,
    request: pytest.FixtureRequest,
    durable: bool,  # noqa: FBT001 — a case
) -> None:
    with GatewayStub() as gateway:
        gateway.answer = drop_and_deny
        settings = {"GATEWAY_URL": gateway.url, "SIGNAL_TTL_SECONDS": "1"}
        if durable:
            settings["DATABASE_URL"] = request.getfixturevalue("database_url")
        worker = start_worker(**settings)
        worker.subscribe("AAPL", "mock", "s1")
        for minute in range(5):
            worker.bar("AAPL", minute)
        signal_id = eventually(lambda: [post.signal_id for post in gateway.posts])[0]
        worker = restart(start_worker, worker, signal.SIGTERM, **settings)
        session = worker.sessions()["s1"]
        assert session["state"] == "HALTED"
        assert signal_id in session["reason"]


def test_a_halted_session_that_is_stopped_and_started_again_waits_for_its_resume(
    start_worker: StartWorker,
) -> None:
    with GatewayStub() as gateway:
        gateway.answer = drop_and_deny
        worker = start_worker(GATEWAY_URL=gateway.url, SIGNAL_TTL_SECONDS="1", CONTROL_TOKEN="t")  # noqa: S106 — of this test
        worker.subscribe("AAPL", "mock", "s1")
        for minute in range(5):
            worker.bar("AAPL", minute)
        eventually(lambda: worker.sessions()["s1"]["state"] == "HALTED")
        worker.control("unsubscribe", "AAPL", session="s1")
        eventually(lambda: not worker.sessions())
        worker.control("subscribe", "AAPL", "mock", "s1")
        assert eventually(lambda: worker.sessions().get("s1"))["state"] == "HALTED"
        assert worker.post("/sessions/s1/resume", {"Authorization": "Bearer t"}).status_code == 202
        eventually(lambda: worker.sessions()["s1"]["state"] == "RUNNING")
        gateway.answer = gateway.friendly
        for minute in range(5, 10):
            worker.bar("AAPL", minute)
        eventually(lambda: worker.sessions()["s1"]["outcomes"].get("executed"))


def test_a_database_without_tables_is_named_by_ready(
    start_worker: StartWorker, empty_database_url: str
) -> None:
    worker = start_worker(ready=False, DATABASE_URL=empty_database_url)
    eventually(lambda: "migrate" in worker.get("/ready").text, 30)
