"""What a bar costs a strategy of rules, beside `sma_cross`, which does the same by hand."""

import time as clock
from statistics import median

from benchmarks.effort import Effort
from benchmarks.feed import bar
from benchmarks.rows import Floor, Goal, MeasurementError, Row, compare
from models.market_data import Bar
from strategies.base_strategy import BaseStrategy
from strategies.registry import shipped_rules
from strategies.rule_file import read_rules
from strategies.rule_strategy import strategy_of
from strategies.sma_cross import SmaCross

BARS = 2_000
RULE = """
name: SMA_CROSS
lines:
  fast: SMA(close, 20)
  slow: SMA(close, 50)
entry: crossed_up(fast, slow)
exit: fast < slow
"""


def on_bar(_url: str, effort: Effort) -> list[Row]:
    """Compare the same crossing as rules and by hand, and the middle and the dearest of the shipped rules."""
    crossing = strategy_of(read_rules(RULE))
    bars = [Bar.decode(bar("AAPL", number)) for number in range(BARS)]
    same, middle, dearest, by_hand = [], [], [], []
    for _ in range(effort.rounds):
        by_hand.append(_microseconds(SmaCross, bars))
        same.append(_microseconds(crossing, bars))
        shipped = [_microseconds(cls, bars) for cls in shipped_rules()]
        middle.append(median(shipped))
        dearest.append(max(shipped))
    floor = Floor("sma_cross by hand", by_hand)
    return [
        compare("rules: on_bar, the same crossing", "µs", same, floor, Goal(2.0, less_is_better=True)),
        compare("rules: on_bar, the middle of the shipped", "µs", middle, floor, None),
        compare("rules: on_bar, the dearest of the shipped", "µs", dearest, floor, None),
    ]


def _microseconds(cls: type[BaseStrategy], bars: list[Bar]) -> float:
    """Return the processor time of one call of `on_bar`."""
    strategy = cls.build("strategy", "AAPL")
    began = clock.thread_time()
    for each in bars:
        strategy.on_bar(each)
    seconds = clock.thread_time() - began
    if seconds <= 0:
        raise MeasurementError("no time went by")
    return seconds / len(bars) * 1e6
