"""Whether a symbol may be bought for the first time, from the closes of its bars."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from models.execution_plan import EntryRules
from models.market_data import Bar
from strategies.rule_expression import Holding, Scope, compile_condition, parse
from strategies.rule_file import bind_lines, read_rules

REMEMBERED = 1_000  # symbols whose indicators need not be computed again before their next bar
CLOSES_WANTED = 250
"""How many closes are worth keeping: what an average of 26 takes from further back is below a billionth."""

# The conditions of an approval in the language of rules; what is bought is the executor's to say.
LINES = read_rules(
    """
name: ENTRY
lines:
  rsi: RSI(close, 14)
  macd: MACD(close, 12, 26)
  signal: EMA(macd, 9)
entry: rsi < 30 and macd > signal
exit: rsi > 70
"""
)
CONDITIONS = {"RSI": "rsi < rsi_threshold", "bullish": "macd > signal", "bearish": "macd < signal"}
_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def allows_entry(rules: EntryRules, closes: Sequence[float]) -> bool | None:
    """Whether every indicator of the rules agrees; None while there are too few closes to tell.

    RSI over 14 bars (Wilder) must be under its threshold, MACD(12, 26, 9) on the wanted side of its signal.
    It may be asked whenever a price comes: the same closes are computed once.
    """
    return _allows(rules, tuple(closes)) if rules.indicators else True


@lru_cache(REMEMBERED)
def _allows(rules: EntryRules, closes: tuple[float, ...]) -> bool | None:
    if not closes or ("RSI" in rules.indicators and rules.rsi_threshold is None):
        return None
    conditions = [CONDITIONS[_wanted(name, rules)] for name in rules.indicators]
    numbers = {"rsi_threshold": rules.rsi_threshold or 0.0}
    lines = bind_lines(LINES, numbers)
    agrees = compile_condition(parse(" and ".join(conditions)), Scope(lines, numbers, Holding(), []))
    for close in closes:
        bar = Bar("", "1m", close, close, close, close, 0.0, _ANY_TIME)
        for line in lines.values():
            line.value = line.step(bar)
    return agrees()


def _wanted(name: str, rules: EntryRules) -> str:
    return name if name == "RSI" else rules.macd_signal or "bearish"
