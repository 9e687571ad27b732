"""What the shipped strategies buy and sell, on series made by hand, whatever the gateway does."""

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import StrategyRejected
from models.market_data import Trade
from strategies.base_strategy import BaseStrategy
from strategies.bollinger_breakout import BollingerBreakout
from strategies.buy_and_hold import BuyAndHold
from strategies.macd_trend import MacdTrend
from strategies.mean_reversion import MeanReversion
from strategies.mock_strategy import MockStrategy
from strategies.momentum import Momentum
from strategies.registry import BUILT_IN
from strategies.rsi_reversion import RsiReversion
from strategies.sector_rotation import SectorRotation
from strategies.sma_cross import SmaCross
from strategies.trend_following import TrendFollowing
from tests.unit.strategy_driver import FIRST, bars_of, play, report_on

# Parameters that make each strategy decide often, on a few dozen bars.
LIVELY: dict[type[BaseStrategy], dict[str, object]] = {
    BollingerBreakout: {"period": 4, "deviations": 0.7},
    BuyAndHold: {},
    MacdTrend: {"fast": 2, "slow": 4, "signal": 3},
    MeanReversion: {"period": 4, "entry": 0.7, "trend": 1, "patience": 3},
    MockStrategy: {"every": 2, "quantity": 0.3},
    Momentum: {"lookback": 3, "skip": 1, "entry": 0.02},
    RsiReversion: {"period": 2, "oversold": 40.0, "exit_level": 60.0},
    SectorRotation: {"symbols": "AAPL,X/USD", "lookback": 2, "period": "bar"},
    SmaCross: {"fast": 2, "slow": 4},
    TrendFollowing: {"entry": 3, "exit": 2, "volatility": 2, "risk": 1.0},
}


def make(
    cls: type[BaseStrategy], symbol: str = "AAPL", parameters: dict[str, object] | None = None
) -> BaseStrategy:
    return cls.build("strategy", symbol, "session", LIVELY[cls] if parameters is None else parameters)


def sent(cls: type[BaseStrategy], *closes: float, **parameters: object) -> list[tuple[int, str]]:
    """Give the bars on which a strategy bought and sold."""
    orders = play(make(cls, parameters={**LIVELY[cls], **parameters}), bars_of(closes))
    return [(number, action) for number, action, _, _ in orders]


def test_every_strategy_that_ships_is_tested_here() -> None:
    assert set(BUILT_IN) == set(LIVELY)


# --- by hand ------------------------------------------------------------------------------------------------


def test_sma_cross_buys_when_the_fast_average_comes_above_and_sells_when_it_comes_below() -> None:
    # fast of 2:     9.5 8.5  7.5  8.5 10.5 11.5 10.5 8.5
    # slow of 4:               8.5 8.5  9.0  9.5  ...
    assert sent(SmaCross, 10, 9, 8, 7, 10, 11, 12, 9, 8) == [(5, "BUY"), (8, "SELL")]


def test_sma_cross_does_not_buy_where_it_starts_above() -> None:
    assert sent(SmaCross, 7, 8, 9, 10, 11, 12) == []


def test_rsi_reversion_buys_on_the_way_back_up_and_sells_at_the_exit_level() -> None:
    # gains and losses of 2: at 7.8 0.4 to 0.5, an RSI of 44; at 9.0 0.8 to 0.25, one of 76.
    assert sent(RsiReversion, 10, 9, 8, 7, 7.8, 9.0) == [(4, "BUY"), (5, "SELL")]


def test_rsi_reversion_does_not_buy_while_the_fall_goes_on() -> None:
    assert sent(RsiReversion, 10, 9, 8, 7, 6, 5, 4, 3) == []


def test_rsi_reversion_does_not_buy_a_price_that_never_moved() -> None:
    assert sent(RsiReversion, 10, 10, 10, 10, 10, 10) == []


def test_macd_trend_buys_when_a_fall_turns_and_sells_when_the_rise_does() -> None:
    assert sent(MacdTrend, 20, 19, 17, 14, 10, 5, 12, 16, 18, 18, 14) == [(6, "BUY"), (10, "SELL")]


def test_bollinger_breakout_buys_above_the_upper_band_and_sells_below_the_middle_one() -> None:
    assert sent(BollingerBreakout, 10, 10, 10, 10, 12, 13, 14, 12.9, 10) == [(4, "BUY"), (7, "SELL")]


def test_bollinger_breakout_can_wait_for_the_lower_band() -> None:
    closes = (10, 10, 10, 10, 12, 13, 14, 13, 10)
    assert sent(BollingerBreakout, *closes, exit="lower") == [(4, "BUY"), (8, "SELL")]


def test_bollinger_breakout_sees_nothing_in_a_price_that_stands_still() -> None:
    assert sent(BollingerBreakout, *[100.1] * 50) == []


def test_buy_and_hold_buys_once_and_keeps_it() -> None:
    assert sent(BuyAndHold, 10, 11, 5, 50, 1) == [(0, "BUY")]


def test_buy_and_hold_waits_until_its_cash_buys_a_share() -> None:
    assert sent(BuyAndHold, 101.0, 102.0, 99.0, 98.0, cash=100.0) == [(2, "BUY")]


def test_momentum_holds_what_rose_and_leaves_the_latest_bars_out() -> None:
    # return of 3 bars to the one before the last:   12/10    12.2/11  11/12    10/12.2
    closes = (10, 11, 12, 12.2, 11, 10, 9)
    assert sent(Momentum, *closes, entry=0.1) == [(3, "BUY"), (5, "SELL")]


def test_momentum_keeps_what_it_has_between_exit_and_entry() -> None:
    assert sent(Momentum, 10, 11, 12, 12.2, 12.4, 12.6, entry=0.1, exit=0.0) == [(3, "BUY")]


def test_mean_reversion_buys_far_below_the_average_and_sells_when_it_is_back() -> None:
    assert sent(MeanReversion, 10, 10, 10, 8, 10.5) == [(3, "BUY"), (4, "SELL")]


def test_mean_reversion_sells_after_its_patience_whatever_the_price() -> None:
    assert sent(MeanReversion, 10, 10, 10, 8, 7, 6, 5) == [(3, "BUY"), (6, "SELL")]


def test_mean_reversion_buys_no_fall_below_the_long_average() -> None:
    assert sent(MeanReversion, 10, 10, 10, 10, 8, trend=5) == []
    assert sent(MeanReversion, 1, 10, 10, 10, 8.5, trend=5) == [(4, "BUY")]


def test_trend_following_buys_above_the_highest_high_and_sells_below_the_lowest_low() -> None:
    assert sent(TrendFollowing, 10, 11, 10, 11, 12, 13, 14, 12.5) == [(4, "BUY"), (7, "SELL")]


def test_trend_following_sells_at_its_stop_before_the_channel_says_so() -> None:
    # bought at 12, where the last bar reached 1: the stop is at 11, the lowest of 4 bars at 10
    closes = (10, 11, 10, 11, 12, 11.5, 10.9)
    assert sent(TrendFollowing, *closes, exit=4, stop=1.0, volatility=1) == [(4, "BUY"), (6, "SELL")]
    assert sent(TrendFollowing, *closes, exit=4, stop=5.0, volatility=1) == [(4, "BUY")]


def test_trend_following_commits_less_to_what_moves_more() -> None:
    asked = {**LIVELY[TrendFollowing], "risk": 0.02, "stop": 2.0, "volatility": 1}
    [(*_, calm)] = play(make(TrendFollowing, parameters=asked), bars_of([98, 99, 98, 100]))
    [(*_, wild)] = play(make(TrendFollowing, parameters=asked), bars_of([90, 95, 90, 100]))
    assert (calm, wild) == (50.0, 10.0)  # of 200 at stake, two ranges of 2 and of 10 each


def test_mock_buys_and_sells_in_turn() -> None:
    assert sent(MockStrategy, *range(1, 11), every=3) == [(2, "BUY"), (5, "SELL"), (8, "BUY")]


# --- size ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "close", "cash", "quantity"),
    [
        ("AAPL", 151.0, 10_000.0, 66.0),
        ("AAPL", 10_000.0, 10_000.0, 1.0),
        ("BTC/USD", 60_000.0, 10_000.0, 0.166666),
        ("ETH/USD", 3_000.0, 10_000.0, 3.333333),
        ("DOGE/USD", 0.25, 10_000.0, 40_000.0),
    ],
)
def test_an_entry_commits_the_cash_and_no_more(
    symbol: str, close: float, cash: float, quantity: float
) -> None:
    strategy = make(BuyAndHold, symbol, {"cash": cash})
    assert play(strategy, bars_of([close], symbol)) == [(0, "BUY", close, quantity)]
    assert close * quantity <= cash


@pytest.mark.parametrize("cls", [cls for cls in BUILT_IN if cls is not MockStrategy])
def test_cash_for_less_than_a_share_buys_nothing(cls: type[BaseStrategy]) -> None:
    strategy = make(cls, parameters={**LIVELY[cls], "cash": 1.0})
    assert play(strategy, bars_of(WAVES)) == []


def test_a_price_next_to_nothing_is_no_reason_to_fail() -> None:
    [(_, action, _, quantity)] = play(make(BuyAndHold, "X/USD"), bars_of([5e-324], "X/USD"))
    assert (action, math.isfinite(quantity)) == ("BUY", True)


# --- what the gateway does ----------------------------------------------------------------------------------

WAVES = [round(100 + 30 * math.sin(number / 4) + 9 * math.sin(number * 1.7), 2) for number in range(200)]


@pytest.mark.parametrize("cls", BUILT_IN)
@given(closes=st.lists(st.floats(0.5, 5.0), min_size=20, max_size=80), lateness=st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_a_slow_gateway_changes_no_signal(
    cls: type[BaseStrategy], closes: list[float], lateness: int
) -> None:
    bars = list(bars_of(closes, "X/USD"))
    prompt = play(make(cls, "X/USD"), bars)
    assert play(make(cls, "X/USD"), bars, answer_after=lateness) == prompt
    assert play(make(cls, "X/USD"), bars, answer_after=None) == prompt


@pytest.mark.parametrize("cls", BUILT_IN)
def test_a_strategy_sells_exactly_what_it_bought_and_is_flat_afterwards(cls: type[BaseStrategy]) -> None:
    strategy = make(cls, "X/USD")
    orders = play(strategy, bars_of(WAVES, "X/USD"))
    bought = [quantity for _, action, _, quantity in orders if action == "BUY"]
    sold = [quantity for _, action, _, quantity in orders if action == "SELL"]
    assert [action for _, action, _, _ in orders[:2]] == (["BUY"] if cls is BuyAndHold else ["BUY", "SELL"])
    assert sold == bought[: len(sold)]
    assert strategy.position.expected == sum(bought[len(sold) :])


CROSSING = [BollingerBreakout, MacdTrend, RsiReversion, SmaCross]


@pytest.mark.parametrize("cls", CROSSING)
def test_a_rejected_entry_waits_for_the_next_occasion(cls: type[BaseStrategy]) -> None:
    strategy = make(cls)
    asked = []
    for number, bar in enumerate(bars_of(WAVES)):
        strategy.on_bar(bar)
        if strategy.position.expected:
            asked.append((number, strategy.sent_signals[-1].action))
            strategy.apply_report(report_on(strategy.sent_signals[-1], "rejected"))
    assert len(asked) == len(strategy.sent_signals) > 5
    assert {action for _, action in asked} == {"BUY"}
    assert all(later - earlier > 1 for (earlier, _), (later, _) in pairwise(asked))


@pytest.mark.parametrize("cls", CROSSING)
def test_a_rejected_exit_is_tried_again_while_its_reason_lasts(cls: type[BaseStrategy]) -> None:
    strategy = make(cls)
    bought, sold = play(strategy, bars_of(WAVES))[:2]
    again = make(cls)
    bars = list(bars_of([*WAVES[: sold[0] + 1], WAVES[sold[0]]]))
    play(again, bars[: sold[0]])
    again.on_bar(bars[-2])
    again.apply_report(report_on(again.sent_signals[-1], "rejected"))
    again.on_bar(bars[-1])
    assert [signal.action for signal in again.sent_signals] == ["BUY", "SELL", "SELL"]
    assert [signal.quantity for signal in again.sent_signals] == [bought[3]] * 3


# --- starting -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "closes"),
    [
        (BollingerBreakout, [10, 10, 10, 10, 20]),
        (BuyAndHold, [10]),
        (MacdTrend, [20, 19, 17, 14, 10, 5, 12]),
        (MeanReversion, [10, 10, 10, 5]),
        (Momentum, [10, 11, 12, 13]),
        (RsiReversion, [10, 9, 8, 20]),
        (SmaCross, [10, 9, 8, 7, 20]),
        (TrendFollowing, [10, 11, 10, 12]),
    ],
)
def test_the_first_bar_after_the_warm_up_can_be_traded(cls: type[BaseStrategy], closes: list[float]) -> None:
    strategy = make(cls)
    assert strategy.warmup_bars == len(closes) - 1
    assert [number for number, *_ in play(strategy, bars_of(closes))] == [strategy.warmup_bars]


@pytest.mark.parametrize(
    ("cls", "parameters", "advice"),
    [
        (SmaCross, {"fast": 50, "slow": 50}, "make fast smaller than slow"),
        (SmaCross, {"fast": 60}, "make fast smaller than slow"),
        (MacdTrend, {"fast": 26}, "make fast smaller than slow"),
        (RsiReversion, {"oversold": 70.0}, "make oversold the smaller one"),
        (RsiReversion, {"oversold": 60.0, "exit_level": 50.0}, "make oversold the smaller one"),
        (BollingerBreakout, {"period": 5}, "make deviations smaller than 2.00, or period larger"),
        (MeanReversion, {"period": 5}, "make entry smaller than 2.00, or period larger"),
        (MeanReversion, {"exit": -2.0}, "make it larger than -2.0"),
        (Momentum, {"lookback": 21}, "make skip smaller than lookback"),
        (Momentum, {"exit": 0.1}, "make exit the smaller one"),
        (SectorRotation, {"symbols": ",".join(f"S{each}" for each in range(15))}, "more than 15"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused_with_what_to_do(
    cls: type[BaseStrategy], parameters: dict[str, object], advice: str
) -> None:
    with pytest.raises(StrategyRejected, match=advice):
        make(cls, parameters=parameters)


@pytest.mark.parametrize("cls", BUILT_IN)
def test_trades_alone_never_make_a_signal(cls: type[BaseStrategy]) -> None:
    strategy = make(cls)
    for close in WAVES:
        strategy.on_trade(Trade("AAPL", close, 1.0, FIRST))
    assert strategy.sent_signals == []


@pytest.mark.parametrize("cls", BUILT_IN)
@given(
    closes=st.lists(st.integers(50, 500), min_size=20, max_size=80),
    cut=st.integers(0, 80),
    late=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_a_restarted_strategy_goes_on_as_if_nothing_had_happened(
    cls: type[BaseStrategy], closes: list[int], cut: int, *, late: bool
) -> None:
    bars = list(bars_of([close / 100 for close in closes], "X/USD"))
    straight = make(cls, "X/USD")
    wanted = play(straight, bars)
    before, after = make(cls, "X/USD"), make(cls, "X/USD")
    orders = play(before, bars[:cut], answer_after=None if late else 0)
    after.booked_position = before.position
    after.set_state(json.loads(json.dumps(before.get_state())))
    for number, action, price, quantity in play(after, bars[cut:]):
        orders.append((number + cut, action, price, quantity))
    assert orders == wanted
    assert after.get_state() == straight.get_state()
