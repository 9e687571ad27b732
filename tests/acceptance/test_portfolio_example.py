"""The example of the contract, end to end: approved on a stream, bought, booked and told of."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import confluent_kafka
import redis

from services.oms.protocol import OrderStatus
from tests.acceptance.conftest import LiveWorker, StartWorker
from tests.integration.portfolio_stage import execution, orders, table
from tests.kafka_mock import PARTITIONS, MockKafka
from tests.oms_stub import OmsStub, told
from tests.sample_approvals import USER, approval_message
from tests.support import eventually, free_port, running_process

# A long fall that slows down: RSI is under 40, and the MACD line is above its signal already. From the 34th
# bar on, at which it may be bought, it falls by less than the stop loss of 5 %.
CLOSES = [round(100.0 + 100.0 * 0.9**step, 2) for step in range(60)]


@contextmanager
def paper_gateway(url: str, redis_url: str) -> Iterator[dict[str, str]]:
    """A paper gateway that charges ten basis points; the settings of a worker that uses it."""
    port = free_port()
    command = [sys.executable, "main.py", "gateway", "--port", str(port), "--fee-bps", "10"]
    with running_process(command, {"DATABASE_URL": url, "REDIS_URL": redis_url}):
        yield {"GATEWAY_URL": f"http://127.0.0.1:{port}"}


@contextmanager
def reference_oms() -> Iterator[dict[str, str]]:
    """The reference OMS, filling in two parts; the settings of a worker that uses it."""
    port = free_port()
    with running_process([sys.executable, "main.py", "oms", "--port", str(port), "--fill-parts", "2"]):
        yield {"EXECUTION_ROUTE": "oms", "OMS_ADDRESS": f"127.0.0.1:{port}"}


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
        self._consumers: dict[str, tuple[confluent_kafka.Consumer, list[dict[str, Any]]]] = {}
        for topic in ("strategy.approved", "strategy.execution", "strategy.positions", "strategy.errors"):
            cluster.make_topic(topic)

    def write(self, topic: str, message: object) -> None:
        producer = confluent_kafka.Producer({"bootstrap.servers": self._servers})
        producer.produce(topic, json.dumps(message).encode())
        assert producer.flush(10) == 0

    def read(self, topic: str) -> list[dict[str, Any]]:
        """Everything that was ever written to a topic, as far as it has arrived."""
        if topic not in self._consumers:
            consumer = confluent_kafka.Consumer({"bootstrap.servers": self._servers, "group.id": topic})
            first = confluent_kafka.OFFSET_BEGINNING
            places = [confluent_kafka.TopicPartition(topic, number, first) for number in range(PARTITIONS)]
            consumer.assign(places)
            self._consumers[topic] = consumer, []
        consumer, found = self._consumers[topic]
        for each in consumer.consume(100, 0.1):
            if each.error() is None:
                found.append(json.loads(each.value() or b""))
        return found

    def close(self) -> None:
        for consumer, _ in self._consumers.values():
            consumer.close()


def reductions(url: str) -> list[tuple[str, str]]:
    """What was made smaller by which rule, and of whom."""
    rows = table(url, "risk_events")
    return [(row["event_type"], str(row["execution_id"])) for row in rows if row["action_taken"] == "reduced"]


class Example:
    """The example of the contract, approved, bought and looked at from outside."""

    def __init__(self, worker: LiveWorker, url: str, streams: RedisStreams | KafkaStreams) -> None:
        self.worker = worker
        self.url = url
        self.streams = streams

    def buy(self) -> None:
        """Approve it and let bars flow by that allow the entry."""
        self.streams.write("strategy.approved", approval_message())
        eventually(lambda: self.worker.get("/executions").json(), 30)
        publish_bars(self.worker)
        eventually(lambda: [row["status"] for row in orders(self.url)] == ["FILLED"] * 2, 30)

    def check(self, fee_share: Decimal) -> None:
        """Check rows, events, orders, and that 35 % were reduced to the limit of 30 %."""
        given = orders(self.url)
        assert [(row["symbol"], row["quantity"]) for row in given] == [
            ("AAPL", 30_000 // given[0]["price"]),
            ("MSFT", 30_000 // given[1]["price"]),
        ]
        key = str(execution(self.url)["execution_id"])
        eventually(lambda: reductions(self.url) == [("position_size", key)] * 2)
        fees = fee_share * self.spent
        eventually(lambda: len(execution(self.url)["positions"]) == 2)
        eventually(lambda: execution(self.url)["fees"] == fees)
        booked = execution(self.url)
        assert booked["total_pnl"] == booked["unrealized_pnl"] - fees
        [started] = eventually(lambda: self.streams.read("strategy.execution"), 30)
        assert started["type"] == "strategy.execution.started"
        assert [order["quantity"] for order in started["initial_orders"]] == [
            row["quantity"] for row in given
        ]
        snapshots = eventually(lambda: self.streams.read("strategy.positions"), 30)
        assert {each["type"] for each in snapshots} == {"strategy.positions"}
        assert self.worker.metric("strategy_orders_submitted_total") == 2
        assert self.worker.metric("strategy_executions_active") == 1

    @property
    def spent(self) -> Decimal:
        return sum((row["quantity"] * row["filled_price"] for row in orders(self.url)), Decimal(0))


def test_the_example_approved_by_redis_is_bought_at_the_paper_gateway(
    start_worker: StartWorker, database_url: str, redis_url: str
) -> None:
    with paper_gateway(database_url, redis_url) as route:
        worker = start_worker(DATABASE_URL=database_url, POSITION_CHECK_SECONDS="1", **route)
        example = Example(worker, database_url, RedisStreams(redis_url))
        example.buy()
        example.check(fee_share=Decimal("0.001"))
        [account] = [row for row in table(database_url, "users") if row["user_id"] == USER]
        assert account["virtual_balance"] == 100_000 - example.spent * Decimal("1.001")


def test_the_example_approved_by_kafka_is_bought_at_the_oms(
    start_worker: StartWorker, database_url: str
) -> None:
    with MockKafka() as cluster, reference_oms() as route, ExitStack() as closing:
        streams = KafkaStreams(cluster)
        closing.callback(streams.close)
        settings = {"POSITION_CHECK_SECONDS": "1", **route, **streams.settings}
        example = Example(start_worker(DATABASE_URL=database_url, **settings), database_url, streams)
        example.buy()
        example.check(fee_share=Decimal(0))


def test_what_an_order_was_filled_until_now_is_in_its_row_and_outlasts_a_kill(
    start_worker: StartWorker, database_url: str, redis_url: str
) -> None:
    with OmsStub() as oms:
        oms.answers = lambda order: [told(order, OrderStatus.PARTIALLY_FILLED, 100, 101.0)]
        settings = {
            "DATABASE_URL": database_url,
            "EXECUTION_ROUTE": "oms",
            "OMS_ADDRESS": oms.address,
            "OMS_IDEMPOTENT": "true",
        }
        worker = start_worker(**settings)
        RedisStreams(redis_url).write("strategy.approved", approval_message())
        eventually(lambda: worker.get("/executions").json(), 30)
        publish_bars(worker)

        def shown() -> list[tuple[str, Decimal]]:
            return [(row["status"], row["filled_quantity"]) for row in orders(database_url)]

        # The other order waits its turn: one lane for each execution.
        partly = [("PARTIALLY_FILLED", Decimal(100)), ("PENDING", Decimal(0))]
        eventually(lambda: shown() == partly, 30)
        assert [row["filled_price"] for row in orders(database_url)] == [Decimal(101), None]
        assert execution(database_url)["positions"] == {}  # booked at the end, and once
        worker.process.kill()
        oms.answers = oms.friendly
        start_worker(**settings)
        eventually(lambda: {status for status, _ in shown()} == {"FILLED"}, 60)
        assert [row["filled_quantity"] for row in orders(database_url)] == [
            row["quantity"] for row in orders(database_url)
        ]


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
