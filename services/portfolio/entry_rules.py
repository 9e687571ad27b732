"""Whether a symbol may be bought for the first time, from the closes of its bars."""

from collections.abc import Sequence

from models.execution_plan import EntryRules, IndicatorName
from strategies.indicators import MACD, RSI

RSI_PERIOD = 14
MACD_PERIODS = (12, 26, 9)
CLOSES_WANTED = 250
"""How many closes are worth keeping: what an average of 26 takes from further back is below a billionth."""


def allows_entry(rules: EntryRules, closes: Sequence[float]) -> bool | None:
    """Whether every indicator of the rules agrees; None while there are too few closes to tell.

    RSI over 14 bars (Wilder) must be under its threshold, MACD(12, 26, 9) on the wanted side of its signal.
    """
    verdicts = [_agrees(name, rules, closes) for name in rules.indicators]
    if None in verdicts:
        return None
    return all(verdicts)


def _agrees(name: IndicatorName, rules: EntryRules, closes: Sequence[float]) -> bool | None:
    if name == "RSI":
        value = _rsi(closes)
        return None if value is None or rules.rsi_threshold is None else value < rules.rsi_threshold
    lines = _macd(closes)
    if lines is None:
        return None
    line, signal = lines
    return line > signal if rules.macd_signal == "bullish" else line < signal


def _rsi(closes: Sequence[float]) -> float | None:
    indicator, value = RSI(RSI_PERIOD), None
    for close in closes:
        value = indicator.update(close)
    return value


def _macd(closes: Sequence[float]) -> tuple[float, float] | None:
    indicator, lines = MACD(*MACD_PERIODS), None
    for close in closes:
        lines = indicator.update(close)
    return lines
