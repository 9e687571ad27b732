"""States and positions over restarts of a real worker, whatever ended it, in PostgreSQL and in Redis."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from services.db_client import migrate
from services.embedded import EmbeddedPostgres
from services.state_store import STATES
from tests.acceptance.conftest import LiveWorker, StartWorker, bar
from tests.faults.databases import unfinished_signals
from tests.gateway_stub import HANG, GatewayStub
from tests.support import eventually

SESSIONS = 300

SOURCE = '''
from strategies.base_strategy import BaseStrategy


class Ledger(BaseStrategy):
    """Buys on the first bar; says in every order's metadata which closes it has seen."""

    warmup_bars = 3

    def __init__(self, strategy_id, symbol, session_id=None):
        super().__init__(strategy_id, symbol, session_id)
        self.closes = []

    def on_bar(self, bar):
        self.closes.append(bar.close)
        if not self.position.expected:
            self.send_signal("BUY", bar.close, 2, metadata={"closes": self.closes})
        elif bar.volume == 7:
            self.send_signal("SELL", bar.close, 1, metadata={"closes": self.closes})

    def on_trade(self, trade):
        pass

    def on_stop(self):
        self.closes.append("stopped")

    def get_state(self):
        return {"closes": self.closes}

    def set_state(self, state):
        self.closes = state["closes"]
'''


class Life:
    """A worker with the strategy above, one process after the other."""

    def __init__(
        self, start_worker: StartWorker, gateway: GatewayStub, folder: Path, **settings: str
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.file = folder / "ledger.py"
        self.file.write_text(SOURCE)
        self.gateway = gateway
        self._start = start_worker
        self._settings = {
            "STRATEGIES_PATH": str(folder),
            "GATEWAY_URL": gateway.url,
            "STATE_SECONDS": "0.2",
            "RECONCILE_SECONDS": "0.2",
            **settings,
        }
        self.worker: LiveWorker = start_worker(**self._settings)
        self.saved: Callable[[], dict[str, Any]] = dict

    def restart(self, number: int, **settings: str) -> None:
        if number == signal.SIGKILL:
            self.worker.process.kill()
        else:
            self.worker.process.terminate()
        self.worker.process.wait()
        self.worker = self._start(**{**self._settings, **settings})

    def session(self) -> dict[str, Any]:
        return self.worker.sessions()["s1"]

    def bars(self, *minutes: int, volume: float = 1000) -> None:
        for minute in minutes:
            self.worker.bar("AAPL", minute, close=100 + minute / 100, volume=volume)
        eventually(lambda: self.session()["bars"] >= len(minutes))

    def missing(self) -> dict[str, str]:
        """What /ready says is missing."""
        told: dict[str, str] = self.worker.get("/ready").json().get("missing", {})
        return told

    def held(self) -> float:
        quantity: float = self.session()["position"]["quantity"]
        return quantity

    def bought(self) -> None:
        """Start the session and let it buy two."""
        self.worker.subscribe("AAPL", "ledger", "s1")
        self.bars(0, 1, 2)
        eventually(lambda: self.held() == 2.0)

    def last_metadata(self) -> Any:
        return self.gateway.posts[-1].json["metadata"]["closes"]


@pytest.fixture(params=["postgres", "redis"])
def life(
    request: pytest.FixtureRequest, start_worker: StartWorker, tmp_path: Path, redis_url: str
) -> Iterator[Life]:
    del redis_url  # emptied before the worker starts
    kept_in = {"DATABASE_URL": request.getfixturevalue("database_url")} if request.param == "postgres" else {}
    with GatewayStub() as gateway:
        life = Life(start_worker, gateway, tmp_path / "strategies", **kept_in)
        life.saved = saved_in(request, life)
        yield life


def saved_in(request: pytest.FixtureRequest, life: Life) -> Callable[[], dict[str, Any]]:
    """Return what reads the state and the quantity of s1 from where they are kept."""

    def from_redis() -> dict[str, Any]:
        entry: Any = life.worker.redis.hget(STATES, "s1")
        read: Any = json.loads(entry or '{"state": "{}", "position": {"quantity": 0}}')
        return {**json.loads(read["state"]), "quantity": read["position"]["quantity"]}

    def from_postgres() -> dict[str, Any]:
        with closing(psycopg2.connect(request.getfixturevalue("database_url"))) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT state, position FROM strategy_states WHERE session_key = 's1'")
            state, position = cursor.fetchone() or ({}, {"quantity": 0})
        return {**state, "quantity": position["quantity"]}

    return from_redis if request.node.callspec.params["life"] == "redis" else from_postgres


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_strategy_goes_on_where_it_stood_and_buys_nothing_twice(life: Life, number: int) -> None:
    life.bought()
    eventually(lambda: life.saved() == {"closes": [100.0, 100.01, 100.02], "quantity": 2.0})
    life.restart(number)
    session = life.session()
    assert session["stateRestored"], session
    assert session["position"]["quantity"] == 2.0
    assert session["position"]["averagePrice"] == 100.0
    life.bars(3, volume=7)
    eventually(lambda: life.held() == 1.0)
    stopped = ["stopped"] if number == signal.SIGTERM else []
    assert life.last_metadata() == [100.0, 100.01, 100.02, *stopped, 100.03]
    assert [post.json["action"] for post in life.gateway.posts] == ["BUY", "SELL"]


def test_state_of_changed_source_is_not_given_back_but_the_position_is(life: Life) -> None:
    life.bought()
    life.file.write_text(SOURCE + "\n# a new version\n")
    life.restart(signal.SIGTERM)
    session = life.session()
    assert not session["stateRestored"]
    assert "source" in session["stateReason"]
    assert session["position"]["quantity"] == 2.0
    life.bars(3, volume=7)
    eventually(lambda: life.held() == 1.0)
    assert life.last_metadata() == [100.03]


def test_a_session_that_is_started_again_under_its_id_goes_on(life: Life) -> None:
    life.bought()
    life.worker.control("unsubscribe", "AAPL", session="s1")
    eventually(lambda: not life.worker.sessions())
    life.worker.subscribe("AAPL", "ledger", "s1")
    assert life.session()["stateRestored"]
    assert life.held() == 2.0


def test_hundreds_of_sessions_are_all_saved_and_restored(
    start_worker: StartWorker, database_url: str
) -> None:
    settings = {"DATABASE_URL": database_url, "STATE_SECONDS": "2"}
    worker = start_worker(**settings)
    pipeline = worker.redis.pipeline(transaction=False)
    for number in range(SESSIONS):
        event = {
            "action": "subscribe",
            "symbol": f"SYM{number % 50}",
            "type": "stock",
            "strategyId": "sma_cross",
        }
        pipeline.publish("system:subscription_updates", json.dumps({**event, "sessionId": f"s{number}"}))
    pipeline.execute()
    eventually(lambda: worker.metric("worker_sessions", "RUNNING") == SESSIONS, 60)
    for number in range(50):
        worker.redis.publish(f"market_data:SYM{number}", json.dumps(bar(f"SYM{number}", 0)))
    eventually(lambda: worker.metric("worker_handler_calls_total", "bar") == SESSIONS, 30)
    worker.process.terminate()
    assert worker.process.wait() == 0
    worker = start_worker(**settings)
    eventually(lambda: worker.metric("worker_sessions", "RUNNING") == SESSIONS, 60)
    assert all(session["stateRestored"] for session in worker.sessions().values())


def test_while_postgres_is_away_nobody_waits_and_the_newest_state_is_written_when_it_is_back(
    start_worker: StartWorker, own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    migrate(own_postgres.url)
    with GatewayStub() as gateway:
        life = Life(start_worker, gateway, tmp_path / "strategies", DATABASE_URL=own_postgres.url)
        life.bought()
        own_postgres.kill()
        life.bars(3, 4, 5, 6)
        eventually(lambda: life.session()["bars"] == 7)
        eventually(lambda: "states are not written" in life.missing().get("states", ""))
        own_postgres.restart()
        eventually(lambda: life.worker.get("/ready").status_code == 200, 30)
        life.restart(signal.SIGTERM)
        session = life.session()
        assert (session["stateRestored"], session["position"]["quantity"]) == (True, 2.0)
        life.bars(7, volume=7)
        eventually(lambda: life.held() == 1.0)
        assert life.last_metadata()[:7] == [100 + minute / 100 for minute in range(7)]


def test_what_was_executed_after_the_last_save_is_read_from_the_table_of_signals(
    start_worker: StartWorker, database_url: str, tmp_path: Path
) -> None:
    with GatewayStub() as gateway:
        settings = {"DATABASE_URL": database_url, "STATE_SECONDS": "3600"}
        life = Life(start_worker, gateway, tmp_path / "strategies", **settings)
        life.bought()
        life.restart(signal.SIGKILL)  # nothing was ever saved
        eventually(lambda: life.held() == 2.0)
        assert life.session()["stateReason"] == "nothing was saved"
        life.restart(signal.SIGTERM)  # saved now
        life.bars(3, volume=7)
        eventually(lambda: life.held() == 1.0 and unfinished_signals(database_url) == 0)
        life.restart(signal.SIGKILL)  # sold since
        session = life.session()
        assert (session["stateRestored"], session["position"]["quantity"]) == (True, 1.0)
        assert session["position"]["realisedPnl"] != 0.0
        assert [post.json["action"] for post in gateway.posts] == ["BUY", "SELL"]


def test_an_order_that_was_on_its_way_at_a_crash_is_booked_when_its_answer_comes(
    start_worker: StartWorker, database_url: str, tmp_path: Path
) -> None:
    with GatewayStub() as gateway:
        gateway.answer = lambda _: HANG
        settings = {"DATABASE_URL": database_url, "GATEWAY_IDEMPOTENT": "true"}
        life = Life(start_worker, gateway, tmp_path / "strategies", **settings)
        life.worker.subscribe("AAPL", "ledger", "s1")
        life.bars(0)
        eventually(lambda: gateway.posts)
        gateway.answer = gateway.friendly
        life.restart(signal.SIGKILL)
        eventually(lambda: life.held() == 2.0, 30)
        position = life.session()["position"]
        assert (position["quantity"], position["expected"]) == (2.0, 2.0)
        assert len({post.signal_id for post in gateway.posts}) == 1
