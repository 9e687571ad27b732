"""What a discovery pipeline emits on a bad day, and what must come of it, computed beside the product."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

BEGAN_AT = datetime(2025, 1, 1, tzinfo=UTC)
POISON, DUPLICATES, OUT_OF_ORDER = 0.01, 0.05, 0.05
SYMBOLS = ("AAPL", "MSFT", "BTC/USD")

Message = dict[str, object]
# One in a hundred messages of each kind is broken in one of these ways.
BROKEN: dict[str, tuple[Callable[[Message], bytes], ...]] = {
    "format": (
        lambda message: json.dumps(message).encode()[:-1],
        lambda message: b"\xff\xfe" + str(message["n"]).encode(),
    ),
    "metadata": (
        lambda message: _encode(message | {"symbol": "no symbol"}),
        lambda message: _encode(message | {"discovery_start_time": "2025-12-31T00:00:00Z"}),
        lambda message: _encode({name: value for name, value in message.items() if name != "current_score"}),
    ),
    "parameters": (
        lambda message: _encode(message | {"parameters": [message["n"]]}),
        lambda message: _encode(message | {"strategy_type": "sma_cross", "parameters": {"fast": -1}}),
    ),
    "performance": (
        lambda message: _encode(message | {"metrics": {"win_rate": 1.5}}),
        lambda message: _encode(message | {"metrics": {"max_drawdown": 0.5}}),
        lambda message: _encode(message | {"current_score": float("nan")}),
    ),
}


@dataclass
class Workload:
    """Messages in the order in which they are published, and what must be there in the end.

    `scores` is by the number of each strategy, `refused` the broken messages by what is wrong with them.
    """

    payloads: list[bytes] = field(default_factory=list)
    scores: dict[int, float] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)


def workload(count: int, chance: Random) -> Workload:
    """Make so many messages: new strategies, newer evaluations, older ones, the same ones again, poison."""
    made = Workload()
    newest: dict[int, int] = {}
    while len(made.payloads) < count:
        number = len(made.payloads)
        kind = next((each for each in BROKEN if chance.random() < POISON), None)
        if kind is not None:
            made.payloads.append(chance.choice(BROKEN[kind])(_message(number, number, 1)))
            made.refused[kind] += 1
            continue
        known = chance.randrange(max(1, len(newest)))
        roll = chance.random()
        if newest and roll < DUPLICATES:
            made.payloads.append(_encode(_message(number, known, newest[known])))
            continue
        if newest and roll < DUPLICATES + OUT_OF_ORDER:
            age = chance.randint(-5, 5)
            day = max(1, newest[known] + age)
            strategy = known
        else:
            strategy, day = len(newest), chance.randint(10, 300)
        made.payloads.append(_encode(_message(number, strategy, day)))
        if day > newest.get(strategy, 0):
            newest[strategy] = day
            made.scores[strategy] = _score(strategy, day)
    return made


def _message(number: int, strategy: int, day: int) -> Message:
    return {
        "n": number,
        "symbol": SYMBOLS[strategy % len(SYMBOLS)],
        "strategy_type": "NO_RULE_OF_OURS",
        "parameters": {"strategy": strategy, "rsiPeriod": 7 + strategy % 15},
        "current_score": _score(strategy, day),
        "discovery_start_time": BEGAN_AT.isoformat(),
        "discovery_end_time": (BEGAN_AT + timedelta(days=day)).isoformat(),
        "metrics": {"win_rate": 0.5, "max_drawdown": -0.1, "total_trades": 44, "sharpe_ratio": day / 100},
    }


def _score(strategy: int, day: int) -> float:
    return (strategy % 1_000) + day / 1_000


def _encode(message: Message) -> bytes:
    return json.dumps(message).encode()
