"""100,000 malformed, hostile and random messages on all three channels, with valid ones in between."""

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.acceptance.conftest import CONTROL, LiveWorker, StartWorker, bar, trade
from tests.support import eventually

MESSAGES = 100_000
ROUND = 1_000
WARM_UP_ROUNDS = 40
MEBIBYTE = 1024 * 1024
CHANNELS = ("market_data:AAPL", "market_trades:AAPL", CONTROL)

Hostile = Callable[[random.Random, str], tuple[bytes, str]]


def valid(channel: str) -> dict[str, Any]:
    """A message that the channel's reader accepts."""
    if channel == CONTROL:
        return {
            "action": "subscribe",
            "symbol": "AAPL",
            "type": "stock",
            "strategyId": "mock",
            "sessionId": "s1",
        }
    return bar("AAPL", 0) if channel == "market_data:AAPL" else trade("AAPL", 0)


def noise(chance: random.Random, _channel: str) -> tuple[bytes, str]:
    payload = b"\x00" + chance.randbytes(chance.randrange(200))
    try:
        payload.decode()
    except UnicodeDecodeError:
        return payload, "not_utf8"
    return payload, "not_json"


def cut_short(chance: random.Random, channel: str) -> tuple[bytes, str]:
    whole = json.dumps(valid(channel)).encode()
    return whole[: chance.randrange(1, len(whole) - 1)], "not_json"


def nested(chance: random.Random, _channel: str) -> tuple[bytes, str]:
    return b'{"x":' * chance.randrange(1_000, 5_000), "not_json"


def not_an_object(chance: random.Random, _channel: str) -> tuple[bytes, str]:
    return chance.choice([b"[]", b"7", b'"text"', b"null", b"true", b"-1.5e3"]), "invalid_value"


def a_field_is_missing(chance: random.Random, channel: str) -> tuple[bytes, str]:
    message = valid(channel)
    del message[chance.choice(["symbol", "type" if channel == CONTROL else "timestamp"])]
    return json.dumps(message).encode(), "missing_field"


def a_symbol_of_the_wrong_type(chance: random.Random, channel: str) -> tuple[bytes, str]:
    wrong: Any = chance.choice([None, 7, True, [], {}, 1e308])
    return json.dumps({**valid(channel), "symbol": wrong}).encode(), "invalid_value"


def too_large(chance: random.Random, channel: str) -> tuple[bytes, str]:
    return json.dumps({**valid(channel), "pad": "x" * chance.randrange(65_536, 70_000)}).encode(), "too_large"


KINDS: tuple[Hostile, ...] = (
    noise,
    noise,
    noise,
    cut_short,
    cut_short,
    not_an_object,
    a_field_is_missing,
    a_symbol_of_the_wrong_type,
)
RARE_KINDS: tuple[Hostile, ...] = (nested, too_large)


def hostile(chance: random.Random, channel: str) -> tuple[bytes, str]:
    """Make one message that must be refused, and the reason it must be refused for."""
    kinds = RARE_KINDS if chance.random() < 0.01 else KINDS
    return chance.choice(kinds)(chance, channel)


class Storm:
    """Publishes hostile rounds, each closed by valid messages that must come through."""

    def __init__(self, worker: LiveWorker, seed: int) -> None:
        self.worker = worker
        self.expected: Counter[str] = Counter()
        self.rounds = 0
        self._chance = random.Random(seed)  # noqa: S311 — not for secrets

    def round(self, messages: int) -> None:
        pipeline = self.worker.redis.pipeline(transaction=False)
        for _ in range(messages):
            channel = self._chance.choice(CHANNELS)
            payload, reason = hostile(self._chance, channel)
            self.expected[reason] += 1
            pipeline.publish(channel, payload)
        self.rounds += 1
        pipeline.publish("market_data:AAPL", json.dumps(bar("AAPL", self.rounds)))
        pipeline.publish("market_trades:AAPL", json.dumps(trade("AAPL", self.rounds)))
        pipeline.publish(CONTROL, json.dumps(valid(CONTROL)))
        pipeline.execute()
        eventually(self._arrived, 60, f"the valid messages of round {self.rounds}")

    def _arrived(self) -> bool:
        metrics = self.worker.metrics()
        counters = [
            ("worker_events_total", "bar"),
            ("worker_events_total", "trade"),
            ("worker_control_events_total", "duplicate"),
        ]
        return all(metrics.get(counter) == self.rounds for counter in counters)


def test_nothing_hostile_ends_a_thread_or_costs_a_valid_message_or_grows_memory(
    start_worker: StartWorker,
) -> None:
    worker = start_worker()
    worker.subscribe("AAPL", "mock", "s1")
    storm = Storm(worker, seed=20260128)
    rounds = MESSAGES // ROUND
    for _ in range(WARM_UP_ROUNDS):
        storm.round(ROUND)
    before = worker.metric("process_resident_memory_bytes")
    for _ in range(rounds - WARM_UP_ROUNDS):
        storm.round(ROUND)
    grown = worker.metric("process_resident_memory_bytes") - before
    metrics = worker.metrics()
    counted = {reason: metrics["worker_events_rejected_total", reason] for reason in storm.expected}
    assert counted == dict(storm.expected)
    assert sum(counted.values()) == MESSAGES
    assert grown < 16 * MEBIBYTE
    session = worker.sessions()["s1"]
    assert (session["bars"], session["trades"]) == (rounds, rounds)
    assert worker.get("/health").status_code == 200
    eventually(
        lambda: _letters(worker) == MESSAGES, message="every refused message was written or counted as lost"
    )
    assert 0 < len(worker.dead_letters()) <= 10_200


def _letters(worker: LiveWorker) -> float:
    return sum(value for name, value in worker.metrics().items() if name[0] == "worker_dead_letters_total")
