"""A worker killed at each step of a send, and started again: executed is what was decided, once."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.db_client import migrate
from services.embedded import EmbeddedPostgres
from tests.acceptance.conftest import LiveWorker, StartWorker
from tests.gateway_stub import HANG, Answer, GatewayStub, Received
from tests.integration.durable_outbox import open_connection, rows, statuses
from tests.support import eventually

IDEMPOTENT = pytest.mark.parametrize("idempotent", ["true", "false"], ids=["idempotent", "read back"])


class CountingGateway(GatewayStub):
    """Counts what it really executes; without idempotency a repeated id is executed again."""

    def __init__(self, *, idempotent: bool) -> None:
        self.executions: Counter[str] = Counter()
        self._repeats = idempotent
        super().__init__()

    def friendly(self, received: Received) -> Answer:
        if received.method == "POST" and not (self._repeats and self.executions[received.signal_id]):
            self.executions[received.signal_id] += 1
        return super().friendly(received)

    @contextmanager
    def executes_more(self) -> Iterator[None]:
        """Wait until something more was executed than before the block."""
        before = len(self.executions)
        yield
        eventually(lambda: len(self.executions) > before, 20)

    def execute_and_hang(self, received: Received) -> Answer:
        """Execute, and never say so."""
        self.friendly(received)
        return HANG


@pytest.fixture
def gateway(idempotent: str) -> Iterator[CountingGateway]:
    with CountingGateway(idempotent=idempotent == "true") as stub:
        yield stub


class Bench:
    """One database, one gateway, and workers that come and go."""

    def __init__(self, start: StartWorker, url: str, gateway: CountingGateway, idempotent: str) -> None:
        self._start = start
        self.url = url
        self.gateway = gateway
        self._settings = {
            "DATABASE_URL": url,
            "GATEWAY_URL": gateway.url,
            "GATEWAY_IDEMPOTENT": idempotent,
            "GATEWAY_TIMEOUT": "60",
        }

    def worker(self, **settings: str) -> LiveWorker:
        return self._start(**{**self._settings, **settings})

    def decide(self, worker: LiveWorker, sessions: int = 1) -> None:
        """Have each of so many new sessions decide once."""
        for number in range(sessions):
            worker.subscribe("AAPL", "mock", f"s{number}")
        for minute in range(5):
            worker.bar("AAPL", minute)

    def executed_once(self, count: int) -> None:
        """Check that every signal with a row was executed, exactly once, and is marked so."""
        eventually(lambda: statuses(self.url) == ["executed"] * count, 20)
        assert self.gateway.executions == {row["signal_id"]: 1 for row in rows(self.url)}


@pytest.fixture
def bench(database_url: str, gateway: CountingGateway, idempotent: str, start_worker: StartWorker) -> Bench:
    """Made in this order, so that workers end before what they speak to."""
    return Bench(start_worker, database_url, gateway, idempotent)


def kill(worker: LiveWorker) -> None:
    worker.process.kill()
    worker.process.wait()


def wait_for_sessions(worker: LiveWorker, count: int) -> None:
    running = ["RUNNING"] * count
    eventually(lambda: [session["state"] for session in worker.sessions().values()] == running, 20)


@IDEMPOTENT
def test_before_the_row_the_signal_was_never_there(bench: Bench) -> None:
    worker = bench.worker()
    with open_connection(bench.url) as connection:
        cursor = connection.cursor()
        cursor.execute("BEGIN; LOCK TABLE signals IN EXCLUSIVE MODE")
        bench.decide(worker)
        eventually(lambda: worker.metric("worker_outbox_pending") == 1)
        kill(worker)
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        cursor.execute("COMMIT")
    again = bench.worker()
    assert (rows(bench.url), bench.gateway.posts) == ([], [])
    assert again.metric("worker_outbox_pending") == 0


@IDEMPOTENT
def test_after_the_row_and_before_the_post_it_is_sent_once(bench: Bench) -> None:
    worker = bench.worker(GATEWAY_URL="http://127.0.0.1:9")  # nobody answers there: never sent
    bench.decide(worker, sessions=3)
    eventually(lambda: len(rows(bench.url)) == 3)
    kill(worker)
    bench.worker()
    bench.executed_once(3)


@IDEMPOTENT
def test_after_the_post_left_and_was_executed_it_is_not_executed_again(bench: Bench) -> None:
    bench.gateway.answer = bench.gateway.execute_and_hang
    worker = bench.worker()
    bench.decide(worker, sessions=3)
    eventually(lambda: len(bench.gateway.executions) == 3)
    kill(worker)
    bench.gateway.answer = bench.gateway.friendly
    bench.worker()
    bench.executed_once(3)


@IDEMPOTENT
def test_after_the_post_left_and_was_lost_it_is_executed_once(bench: Bench) -> None:
    bench.gateway.answer = lambda _: HANG
    worker = bench.worker()
    bench.decide(worker, sessions=3)
    eventually(lambda: len(bench.gateway.posts) == 3)
    kill(worker)
    bench.gateway.answer = bench.gateway.friendly
    bench.worker()
    bench.executed_once(3)


@IDEMPOTENT
def test_after_the_reply_and_before_the_mark_it_is_not_executed_again(bench: Bench) -> None:
    bench.gateway.answer = lambda received: Answer(201, bench.gateway.friendly(received).body, delay=0.5)
    worker = bench.worker()
    bench.decide(worker, sessions=3)
    eventually(lambda: len(bench.gateway.executions) == 3)
    with open_connection(bench.url) as connection:
        cursor = connection.cursor()
        cursor.execute("BEGIN; LOCK TABLE signals IN EXCLUSIVE MODE")  # nothing can be marked any more
        eventually(lambda: worker.metric("worker_signals_total", "executed") == 3)
        kill(worker)
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        cursor.execute("COMMIT")
    assert set(statuses(bench.url)) <= {"pending", "sending"}
    bench.gateway.answer = bench.gateway.friendly
    bench.worker()
    bench.executed_once(3)


@IDEMPOTENT
def test_what_is_too_old_after_the_restart_is_found_out_and_not_sent(bench: Bench) -> None:
    bench.gateway.answer = lambda received: (
        bench.gateway.execute_and_hang(received) if received.json["sessionId"] == "s0" else HANG
    )
    worker = bench.worker(SIGNAL_TTL_SECONDS="1")
    bench.decide(worker, sessions=2)
    eventually(lambda: len(bench.gateway.posts) == 2)
    kill(worker)
    decided_at = time.monotonic()
    bench.gateway.answer = bench.gateway.friendly
    eventually(lambda: time.monotonic() > decided_at + 1.2)
    bench.worker(SIGNAL_TTL_SECONDS="1")
    eventually(lambda: sorted(statuses(bench.url)) == ["executed", "expired"], 20)
    assert len(bench.gateway.posts) == 2
    assert sum(bench.gateway.executions.values()) == 1


@pytest.mark.parametrize("idempotent", ["false"])
def test_what_nobody_can_tell_ends_unknown_and_is_never_sent_again(bench: Bench) -> None:
    bench.gateway.answer = bench.gateway.execute_and_hang
    worker = bench.worker(SIGNAL_TTL_SECONDS="2")
    bench.decide(worker)
    eventually(lambda: bench.gateway.executions)
    kill(worker)
    bench.gateway.answer = lambda _: Answer.of(404, {"error": "not found"})
    bench.worker(SIGNAL_TTL_SECONDS="2")
    eventually(lambda: statuses(bench.url) == ["unknown"], 20)
    assert len(bench.gateway.posts) == 1


@IDEMPOTENT
def test_killed_again_and_again_under_load_every_signal_with_a_row_is_executed_once(bench: Bench) -> None:
    minute = 0
    worker = bench.worker()
    for number in range(10):
        worker.subscribe("AAPL", "mock", f"s{number}")
    for _ in range(3):
        with bench.gateway.executes_more():
            for _ in range(50):
                worker.bar("AAPL", minute)
                minute += 1
        kill(worker)
        worker = bench.worker()
        wait_for_sessions(worker, 10)
    eventually(lambda: set(statuses(bench.url)) == {"executed"}, 30)
    bench.executed_once(len(rows(bench.url)))
    posted = {post.json["signalId"]: post.body for post in bench.gateway.posts}
    assert all(post.body == posted[post.json["signalId"]] for post in bench.gateway.posts)


@pytest.mark.parametrize("idempotent", ["false"])
@pytest.mark.parametrize("kind", ["kill", "stop"])
def test_a_database_that_goes_and_comes_back_costs_no_signal(
    own_postgres: EmbeddedPostgres,
    gateway: CountingGateway,
    kind: str,
    idempotent: str,
    start_worker: StartWorker,
) -> None:
    migrate(own_postgres.url)
    bench = Bench(start_worker, own_postgres.url, gateway, idempotent)
    worker = bench.worker()
    bench.decide(worker, sessions=10)
    bench.executed_once(10)
    if kind == "kill":
        own_postgres.kill()
    else:
        own_postgres.pause()
    for minute in range(5, 25):
        worker.bar("AAPL", minute)
    eventually(lambda: worker.delivered() == 25)  # market data and decisions go on
    assert worker.metric("worker_outbox_pending") == 40
    assert len(gateway.posts) == 10  # and nothing is sent without its row
    assert worker.get("/health").status_code == 200
    if kind == "kill":
        eventually(lambda: "signals are not written" in worker.get("/ready").text)
    if kind == "kill":
        own_postgres.restart()
    else:
        own_postgres.resume()
    eventually(lambda: worker.metric("worker_outbox_pending") == 0, 30)
    bench.executed_once(50)


def test_without_a_database_the_worker_says_that_its_outbox_is_in_memory(
    start_worker: StartWorker, database_url: str
) -> None:
    assert "outbox_in_memory" in start_worker().process.output
    assert "outbox_in_memory" not in start_worker(DATABASE_URL=database_url).process.output
