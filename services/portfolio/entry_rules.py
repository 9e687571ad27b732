"""Whether a symbol may be bought for the first time, from the closes of its bars."""

from collections.abc import Sequence
from functools import lru_cache

from models.execution_plan import EntryRules, IndicatorName
from strategies.indicators import MACD, RSI

RSI_PERIOD = 14
MACD_PERIODS = (12, 26, 9)
REMEMBERED = 1_000  # symbols whose indicators need not be computed again before their next bar
CLOSES_WANTED = 250
"""How many closes are worth keeping: what an average of 26 takes from further back is below a billionth."""


def allows_entry(rules: EntryRules, closes: Sequence[float]) -> bool | None:
    """Whether every indicator of the rules agrees; None while there are too few closes to tell.

    RSI over 14 bars (Wilder) must be under its threshold, MACD(12, 26, 9) on the wanted side of its signal.
    It may be asked whenever a price comes: the same closes are computed once.
    """
    verdicts = [_agrees(name, rules, closes) for name in rules.indicators]
    if None in verdicts:
        return None
    return all(verdicts)


def _agrees(name: IndicatorName, rules: EntryRules, closes: Sequence[float]) -> bool | None:
    if name == "RSI":
        value = _rsi(tuple(closes))
        return None if value is None or rules.rsi_threshold is None else value < rules.rsi_threshold
    lines = _macd(tuple(closes))
    if lines is None:
        return None
    line, signal = lines
    return line > signal if rules.macd_signal == "bullish" else line < signal


@lru_cache(REMEMBERED)
def _rsi(closes: tuple[float, ...]) -> float | None:
    indicator, value = RSI(RSI_PERIOD), None
    for close in closes:
        value = indicator.update(close)
    return value


@lru_cache(REMEMBERED)
def _macd(closes: tuple[float, ...]) -> tuple[float, float] | None:
    indicator, lines = MACD(*MACD_PERIODS), None
    for close in closes:
        lines = indicator.update(close)
    return lines
