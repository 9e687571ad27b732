"""The intake from stream to table, with a real Valkey and a real PostgreSQL, and Kafka's mock cluster."""

import json
import random
from collections.abc import Iterator
from threading import Event, Thread, Timer
from typing import Any

import psycopg2
import pytest
import redis

from models.discovered import strategy_hash
from services.db_client import Database, migrate
from services.embedded import EmbeddedPostgres
from services.intake.consumer import IntakeConsumer
from services.intake.discovered import DiscoveredReader
from services.intake.pace import Ending, Pace
from services.intake.refusals import STRATEGY_DEAD_LETTERS, Refusal
from services.intake.repository import StrategyRepository
from strategies.sma_cross import SmaCross
from tests.discoveries import body, payload
from tests.kafka_mock import MockKafka
from tests.streaming import GROUP, TOPIC, Broker, KafkaBroker, RedisBroker
from tests.support import eventually, free_port

POISON = {
    "format": [b"", b"{", b"\xff\xfe"],
    "metadata": [payload(symbol=None), payload(discovery_start_time="2026-01-09T00:00:00Z")],
    "parameters": [payload(parameters=[]), payload(strategy_type="sma_cross", parameters={"fast": -1})],
    "performance": [payload(metrics={"win_rate": 2}), payload(current_score=float("nan"))],
}


@pytest.fixture
def cursor(database_url: str) -> Iterator[Any]:
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    yield connection.cursor()
    connection.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def consumer_of(broker: Broker, database_url: str, stop: Event | None = None, **pace: Any) -> IntakeConsumer:
    stop = stop or Event()
    limits: dict[str, Any] = {"batch_size": 40, "batch_seconds": 0.1, "until_idle": 0.3, "max_retries": 0}
    return IntakeConsumer(
        broker.source("a", stop),
        broker.publisher(stop),
        DiscoveredReader("json", lambda name: SmaCross if name == "sma_cross" else None),
        StrategyRepository(Database(database_url, connect_timeout=0.5)),
        pace=Pace(**limits | pace),
        stop=stop,
    )


def publish(broker: Broker, payloads: list[bytes]) -> None:
    publisher = broker.publisher(Event())
    for each in payloads:
        publisher.publish(TOPIC, "", each)
    publisher.flush(20)
    publisher.close(1)


def evaluations(count: int, copies: int) -> tuple[list[bytes], dict[str, float]]:
    """Messages about so many strategies in any order, and which score must stand in the table."""
    expected = {}
    payloads = []
    for number in range(count):
        parameters = {"period": number}
        for month in range(1, copies + 1):
            score = (number * copies + month) / 1e6
            end = f"2025-{month:02}-01T00:00:00Z"
            payloads.append(
                payload(
                    strategy_type="GENETIC",
                    parameters=parameters,
                    current_score=score,
                    discovery_end_time=end,
                    discovery_start_time=None,
                )
            )
        expected[strategy_hash("BTC/USD", "GENETIC", parameters)] = score
    payloads += payloads[::20]
    random.Random(7).shuffle(payloads)  # noqa: S311 — repeatable
    return payloads, expected


def scores(cursor: Any) -> dict[str, float]:
    cursor.execute("SELECT strategy_hash, current_score FROM strategies")
    return dict(cursor.fetchall())


def test_every_message_ends_in_the_table_or_in_the_dead_letters(
    redis_url: str, client: Any, database_url: str, cursor: Any
) -> None:
    payloads, expected = evaluations(60, 3)
    poison = [each for kind in POISON.values() for each in kind]
    for number, each in enumerate(poison):
        payloads.insert(number * 20, each)
    broker = RedisBroker(redis_url)
    publish(broker, payloads)
    consumer = consumer_of(broker, database_url)
    assert consumer.run() is Ending.IDLE
    assert scores(cursor) == expected
    letters = [Refusal.decode(fields[b"data"]) for _, fields in client.xrange(STRATEGY_DEAD_LETTERS)]
    assert sorted(each.payload() for each in letters) == sorted(poison)
    assert consumer.counters.refusals == {kind: len(each) for kind, each in POISON.items()}
    assert all(each.error and each.topic == TOPIC for each in letters)
    outcomes = consumer.counters.outcomes
    assert outcomes["inserted"] == 60
    assert outcomes["refused"] == len(poison)
    assert consumer.counters.messages == len(payloads)
    assert client.xpending(TOPIC, GROUP)["pending"] == 0


def test_it_is_the_same_over_kafka(database_url: str, cursor: Any) -> None:
    payloads, expected = evaluations(40, 3)
    with MockKafka() as cluster:
        broker = KafkaBroker(cluster.servers)
        publish(broker, [*payloads, b"nonsense"])
        consumer = consumer_of(broker, database_url)
        assert consumer.run() is Ending.IDLE
        assert scores(cursor) == expected
        assert consumer.counters.refusals == {"format": 1}
        again = consumer_of(broker, database_url)
        assert again.run() is Ending.IDLE
        assert again.counters.messages == 0


def test_a_database_that_stays_away_ends_it_and_nothing_is_lost(
    redis_url: str, client: Any, database_url: str, cursor: Any
) -> None:
    broker = RedisBroker(redis_url)
    publish(broker, [payload(), b"nonsense"])
    failing = consumer_of(broker, f"postgresql://x@127.0.0.1:{free_port()}/x", max_retries=1)
    assert failing.run() is Ending.FAILED
    assert failing.trouble == "PostgreSQL cannot be reached: connection refused"
    assert failing.counters.retries == 1
    assert client.xlen(STRATEGY_DEAD_LETTERS) == 0
    recovered = consumer_of(broker, database_url)
    assert recovered.run() is Ending.IDLE
    assert recovered.counters.outcomes == {"inserted": 1, "updated": 0, "unchanged": 0, "refused": 1}
    assert len(scores(cursor)) == 1


def test_a_database_that_comes_back_in_time_is_waited_for(
    redis_url: str, own_postgres: EmbeddedPostgres
) -> None:
    migrate(own_postgres.url)
    broker = RedisBroker(redis_url)
    publish(broker, [payload()])
    consumer = consumer_of(broker, own_postgres.url, max_retries=8)
    own_postgres.kill()
    later = Timer(0.5, own_postgres.restart)
    later.start()
    assert consumer.run() is Ending.IDLE
    later.join()
    assert consumer.counters.retries >= 1
    assert consumer.trouble is None
    assert consumer.counters.outcomes["inserted"] == 1


def test_a_stop_finishes_the_batch_in_hand(redis_url: str, client: Any, database_url: str) -> None:
    broker, stop = RedisBroker(redis_url), Event()
    publish(broker, [payload()])
    consumer = consumer_of(broker, database_url, stop, batch_seconds=1_000.0, until_idle=None)
    endings: list[Ending] = []
    thread = Thread(target=lambda: endings.append(consumer.run()))
    thread.start()
    try:
        eventually(lambda: [each["pending"] for each in client.xinfo_groups(TOPIC)] == [1])
    finally:
        stop.set()
        thread.join(20)
    assert endings == [Ending.STOPPED]
    assert consumer.counters.outcomes["inserted"] == 1
    assert client.xpending(TOPIC, GROUP)["pending"] == 0


def test_a_row_that_the_database_refuses_goes_to_the_dead_letters_alone(
    redis_url: str, client: Any, database_url: str, cursor: Any
) -> None:
    cursor.execute("ALTER TABLE strategies ADD CONSTRAINT own CHECK (symbol <> 'BAD')")
    broker = RedisBroker(redis_url)
    publish(
        broker,
        [payload(parameters={"n": number}, symbol="BAD" if number == 3 else "OK") for number in range(9)],
    )
    consumer = consumer_of(broker, database_url)
    assert consumer.run() is Ending.IDLE
    assert consumer.counters.outcomes["inserted"] == 8
    ((_, fields),) = client.xrange(STRATEGY_DEAD_LETTERS)
    letter = Refusal.decode(fields[b"data"])
    assert letter.reason == "database"
    assert json.loads(letter.payload()) == body(parameters={"n": 3}, symbol="BAD")


def test_a_message_that_many_consumers_did_not_survive_is_refused_as_poison(
    redis_url: str, client: Any, database_url: str
) -> None:
    broker = RedisBroker(redis_url)
    publish(broker, [payload(parameters={"n": number}) for number in range(3)])
    client.xgroup_create(TOPIC, GROUP, id="0")
    ((_, entries),) = client.xreadgroup(GROUP, "a", {TOPIC: ">"})
    killer, suspect, _ = [entry for entry, _ in entries]
    client.xclaim(TOPIC, GROUP, "a", 0, [killer], retrycount=50, justid=True)
    client.xclaim(TOPIC, GROUP, "a", 0, [suspect], retrycount=10, justid=True)
    consumer = consumer_of(broker, database_url)
    assert consumer.run() is Ending.IDLE
    assert consumer.counters.refusals == {"poison": 1}
    assert consumer.counters.outcomes["inserted"] == 2
    assert consumer.counters.batches == 3  # each of the two by itself


def test_an_unreachable_stream_ends_a_job_as_not_fine(database_url: str) -> None:
    broker = RedisBroker(f"redis://127.0.0.1:{free_port()}")
    consumer = consumer_of(broker, database_url, max_seconds=0.3)
    assert consumer.run() is Ending.UNREACHABLE
