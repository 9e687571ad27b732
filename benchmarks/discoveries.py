"""Discovered strategies as a pipeline writes them, and a broker of Kafka's protocol to read them from."""

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from confluent_kafka import Producer

from models.discovered import DiscoveredStrategy

BEGAN_AT = datetime(2025, 1, 1, tzinfo=UTC)
ENDED_AT = datetime(2026, 1, 1, tzinfo=UTC)
SYMBOLS = ("AAPL", "MSFT", "BTC/USD", "ETH/USD")


def discoveries(count: int, seed: int) -> list[bytes]:
    """Return so many messages, each about another strategy."""
    chance = random.Random(seed)  # noqa: S311 — repeatable, no secret
    return [_message(chance, number) for number in range(count)]


def rows_of(payloads: list[bytes]) -> list[DiscoveredStrategy]:
    """Return the rows that the messages become, without any check: what a bare COPY is given."""
    rows = []
    for each in payloads:
        fields = json.loads(each)
        rows.append(
            DiscoveredStrategy(
                symbol=fields["symbol"],
                strategy_type=fields["strategy_type"],
                parameters=fields["parameters"],
                current_score=fields["current_score"],
                strategy_hash=hashlib.sha256(each).hexdigest(),
                evaluated_at=ENDED_AT,
                discovery_symbol=fields["discovery_symbol"],
                discovery_start_time=BEGAN_AT,
                discovery_end_time=ENDED_AT,
                metrics=fields["metrics"],
            )
        )
    return rows


@contextmanager
def mock_kafka() -> Iterator[str]:
    """Run librdkafka's mock cluster of one broker; give its address."""
    producer = Producer({"test.mock.num.brokers": 1, "log_level": 3})
    (broker,) = producer.list_topics(timeout=10).brokers.values()
    yield f"{broker.host}:{broker.port}"
    producer.flush(1)


def _message(chance: random.Random, number: int) -> bytes:
    symbol = chance.choice(SYMBOLS)
    return json.dumps(
        {
            "symbol": symbol,
            "strategy_type": "SMA_RSI",
            "parameters": {
                "movingAveragePeriod": chance.randint(10, 50),
                "rsiPeriod": chance.randint(7, 21),
                "overboughtThreshold": 70.0 + number / 1e6,
                "oversoldThreshold": chance.uniform(15, 30),
            },
            "current_score": chance.random(),
            "discovery_symbol": symbol,
            "discovery_start_time": BEGAN_AT.isoformat(),
            "discovery_end_time": ENDED_AT.isoformat(),
            "metrics": {
                "total_return": chance.uniform(-0.5, 2),
                "sharpe_ratio": chance.uniform(-1, 3),
                "max_drawdown": -chance.random(),
                "win_rate": chance.random(),
                "profit_factor": chance.uniform(0, 3),
                "total_trades": chance.randint(0, 400),
                "avg_trade_duration": chance.uniform(0, 48),
            },
        }
    ).encode()
