"""The example of the contract, end to end: approved on the stream, bought at the paper gateway, told of."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import confluent_kafka
import pytest
import redis

from tests.acceptance.conftest import LiveWorker, StartWorker
from tests.integration.portfolio_stage import execution, orders, table
from tests.kafka_mock import PARTITIONS, MockKafka
from tests.sample_approvals import USER, approval_message
from tests.support import eventually, free_port, running_process

# A long fall that slows down: RSI is under 40, and the MACD line is above its signal already.
CLOSES = [round(100.0 + 100.0 * 0.95**step, 2) for step in range(60)]


@pytest.fixture
def gateway(database_url: str, redis_url: str) -> Iterator[str]:
    """A paper gateway that charges ten basis points; its address."""
    port = free_port()
    env = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    command = [sys.executable, "main.py", "gateway", "--port", str(port), "--fee-bps", "10"]
    with running_process(command, env):
        yield f"http://127.0.0.1:{port}"


def publish_bars(worker: LiveWorker) -> None:
    """Publish a bar a minute of both symbols, the last one of this minute."""
    begin = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=len(CLOSES))
    for minute, close in enumerate(CLOSES):
        for symbol in ("AAPL", "MSFT"):
            bar = {
                "symbol": symbol,
                "timeframe": "1m",
                "open": close,
                "high": close,
                "low": close,
                "close": close,
                "volume": 1000,
                "timestamp": (begin + timedelta(minutes=minute)).isoformat(),
            }
            worker.redis.publish(f"market_data:{symbol}", json.dumps(bar))


class RedisStreams:
    """Streams as other programs use them: without anything of ours."""

    def __init__(self, url: str) -> None:
        self.settings: dict[str, str] = {}
        self._client = redis.Redis.from_url(url)

    def write(self, topic: str, message: object) -> None:
        self._client.xadd(topic, {"data": json.dumps(message)})

    def read(self, topic: str) -> list[dict[str, Any]]:
        """Everything that was ever written to a topic."""
        entries: Any = self._client.xrange(topic)
        return [json.loads(fields[b"data"]) for _, fields in entries]


class KafkaStreams:
    """The same on a broker of Kafka."""

    def __init__(self, cluster: MockKafka) -> None:
        self.settings = {"INTAKE_TRANSPORT": "kafka", "KAFKA_BOOTSTRAP_SERVERS": cluster.servers}
        self._servers = cluster.servers
        for topic in ("strategy.approved", "strategy.execution", "strategy.positions", "strategy.errors"):
            cluster.make_topic(topic)

    def write(self, topic: str, message: object) -> None:
        producer = confluent_kafka.Producer({"bootstrap.servers": self._servers})
        producer.produce(topic, json.dumps(message).encode())
        assert producer.flush(10) == 0

    def read(self, topic: str) -> list[dict[str, Any]]:
        """Everything that was ever written to a topic."""
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self._servers, "group.id": "reader"})
        first = confluent_kafka.OFFSET_BEGINNING
        places = [confluent_kafka.TopicPartition(topic, number, first) for number in range(PARTITIONS)]
        consumer.assign(places)
        try:
            found = consumer.consume(100, 1.0)
            return [json.loads(each.value() or b"") for each in found if each.error() is None]
        finally:
            consumer.close()


@pytest.fixture(params=["redis", "kafka"])
def streams(request: pytest.FixtureRequest, redis_url: str) -> Iterator[RedisStreams | KafkaStreams]:
    if request.param == "redis":
        yield RedisStreams(redis_url)
        return
    with MockKafka() as cluster:
        yield KafkaStreams(cluster)


def reductions(url: str) -> list[tuple[str, str]]:
    """What was made smaller by which rule, and of whom."""
    rows = table(url, "risk_events")
    return [(row["event_type"], str(row["execution_id"])) for row in rows if row["action_taken"] == "reduced"]


def test_the_example_is_bought_within_the_limit_booked_and_told_of(
    start_worker: StartWorker, database_url: str, gateway: str, streams: RedisStreams | KafkaStreams
) -> None:
    worker = start_worker(
        DATABASE_URL=database_url, GATEWAY_URL=gateway, POSITION_CHECK_SECONDS="1", **streams.settings
    )
    streams.write("strategy.approved", approval_message())
    eventually(lambda: worker.get("/executions").json(), 30)
    publish_bars(worker)
    eventually(lambda: [row["status"] for row in orders(database_url)] == ["FILLED"] * 2, 30)

    given = orders(database_url)
    assert [(row["symbol"], row["quantity"]) for row in given] == [
        ("AAPL", 30_000 // given[0]["price"]),
        ("MSFT", 30_000 // given[1]["price"]),
    ]
    key = str(execution(database_url)["execution_id"])
    eventually(lambda: reductions(database_url) == [("position_size", key)] * 2)

    spent = sum(row["quantity"] * row["price"] for row in given)
    fees = spent / 1000
    eventually(lambda: len(execution(database_url)["positions"]) == 2)
    eventually(lambda: execution(database_url)["fees"] == fees)
    booked = execution(database_url)
    assert booked["total_pnl"] == booked["unrealized_pnl"] - fees
    with_account = [row for row in table(database_url, "users") if row["user_id"] == USER]
    assert [row["virtual_balance"] for row in with_account] == [100_000 - spent - fees]

    [started] = eventually(lambda: streams.read("strategy.execution"))
    assert started["type"] == "strategy.execution.started"
    assert [order["quantity"] for order in started["initial_orders"]] == [row["quantity"] for row in given]
    snapshots = eventually(lambda: streams.read("strategy.positions"))
    assert {each["type"] for each in snapshots} == {"strategy.positions"}
    assert worker.metric("strategy_orders_submitted_total") == 2
    assert worker.metric("strategy_executions_active") == 1


def test_a_wrong_approval_is_told_of_and_kept(
    start_worker: StartWorker, database_url: str, redis_url: str
) -> None:
    worker, streams = start_worker(DATABASE_URL=database_url), RedisStreams(redis_url)
    message = approval_message(allocation={"AAPL": 0.9, "IBM": 0.9})
    streams.write("strategy.approved", message)
    [error] = eventually(lambda: streams.read("strategy.errors"))
    assert len(error["problems"]) == 3
    assert json.loads(error["original_message"]) == message
    [letter] = eventually(worker.dead_letters)
    assert (letter[b"source"], letter[b"reason"]) == (b"strategy.approved", b"invalid_approval")
    assert worker.metric("intake_messages_total", "refused", "strategy.approved") == 1
    assert table(database_url, "strategy_executions") == []
