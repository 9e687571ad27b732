"""When a symbol may be bought for the first time."""

from models.execution_plan import EntryRules
from services.portfolio.entry_rules import allows_entry

FALLING = [200.0 - step for step in range(60)]
RISING = [100.0 + step for step in range(60)]
# A long fall that slows down: RSI is low, and the MACD line is above its signal already.
SLOWING = [100.0 + 100.0 * 0.95**step for step in range(60)]


def rsi(threshold: float) -> EntryRules:
    return EntryRules(indicators=("RSI",), rsi_threshold=threshold)


def test_without_rules_entry_is_allowed_at_once() -> None:
    assert allows_entry(EntryRules(), []) is True


def test_rsi_must_be_under_its_threshold() -> None:
    assert allows_entry(rsi(40), FALLING) is True
    assert allows_entry(rsi(40), RISING) is False
    assert allows_entry(rsi(50), [100.0] * 20) is False  # 50 is not under 50
    assert allows_entry(rsi(51), [100.0] * 20) is True


def test_macd_must_be_on_the_wanted_side_of_its_signal() -> None:
    for closes, bullish in ((SLOWING, True), ([*RISING, *[159.0] * 5], False)):
        assert allows_entry(EntryRules(indicators=("MACD",), macd_signal="bullish"), closes) is bullish
        assert allows_entry(EntryRules(indicators=("MACD",), macd_signal="bearish"), closes) is not bullish


def test_all_indicators_must_agree() -> None:
    both = EntryRules(indicators=("RSI", "MACD"), rsi_threshold=40, macd_signal="bullish")
    assert allows_entry(both, SLOWING) is True
    assert allows_entry(both, RISING) is False


def test_too_few_bars_allow_nothing_and_refuse_nothing() -> None:
    assert allows_entry(rsi(40), FALLING[:14]) is None
    assert allows_entry(rsi(40), FALLING[:15]) is True
    macd = EntryRules(indicators=("MACD",), macd_signal="bearish")
    assert allows_entry(macd, FALLING[:33]) is None
    assert allows_entry(macd, FALLING[:34]) is not None
