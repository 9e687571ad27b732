"""Live equals history: every strategy that comes with the worker, and one that does not keep to it."""

from pathlib import Path

import redis

from services.session_registry import REGISTRY
from strategies.registry import StrategyRegistry
from tests.integration.command_line import command

WINDOW = ("--from", "2000-03-01", "--to", "2001-06-01")
# It looks at the clock of the machine, which no strategy should do.
RESTLESS = """
import time
from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy

class Restless(BaseStrategy):
    name = "restless"

    def on_bar(self, bar: Bar) -> None:
        self.send_signal("BUY", bar.close, time.time())

    def on_trade(self, trade: Trade) -> None:
        pass
"""


def test_every_strategy_decides_live_what_it_decides_over_the_same_history() -> None:
    compared = command("parity", *WINDOW, "--json")
    assert compared.code == 0, compared.output
    found = compared.json
    names = list(StrategyRegistry().names())
    assert (found["differences"], found["not_played"]) == (0, {})
    assert (found["strategies"], found["sessions"]) == (names, 3 * len(names))
    assert found["live_signals"] == found["past_signals"] > 300


def test_where_they_part_it_says_what_both_decided_and_were_told(tmp_path: Path) -> None:
    (tmp_path / "restless.py").write_text(RESTLESS)
    words = ("--strategies", "restless", "--from", "2000-03-01", "--to", "2000-03-08", "--json")
    compared = command("parity", *words, STRATEGIES_PATH=str(tmp_path))
    assert compared.code == 1, compared.output
    found = compared.json
    first = found["first"]
    assert (first["session"], first["number"]) == ("restless-AAPL", 0)
    assert first["live"]["signalId"] == first["past"]["signalId"]
    assert first["live"]["quantity"] != first["past"]["quantity"]
    assert found["inputs"]["events_before"][-1]["timestamp"] == "2000-03-01T00:00:00Z"
    assert found["inputs"]["live"]["bars"] == found["inputs"]["past"]["bars"]


def test_a_run_leaves_no_session_for_the_next_and_touches_none_of_others(redis_url: str) -> None:
    words = ("--strategies", "mock", "--from", "2000-03-01", "--to", "2000-05-01", "--redis-url", redis_url)
    assert [command("parity", *words).code for _ in range(2)] == [0, 0]
    with redis.Redis.from_url(redis_url) as client:
        assert client.hlen(REGISTRY) == 0
        client.hset(REGISTRY, "somebody", "{}")
    refused = command("parity", *words)
    assert refused.code == 2
    assert "1 sessions in that Redis" in refused.output


def test_a_strategy_that_is_not_there_is_wrong_use() -> None:
    assert command("parity", "--strategies", "sma_cros").code == 2
