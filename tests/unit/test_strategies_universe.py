"""The strategies for universes on years of real prices, against the same rules over whole series."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pytest
import talib

from models.market_data import Bar
from services.demo.sample_data import load_sample_data
from strategies.base_strategy import BaseStrategy
from strategies.indicators import ATR, Channel
from strategies.mean_reversion import MeanReversion
from strategies.momentum import Momentum
from strategies.sector_rotation import SectorRotation
from strategies.trend_following import TrendFollowing
from tests.unit.strategy_driver import Order, play

SYMBOLS = ["AAPL", "GOOG", "IBM", "MSFT"]


@cache
def group() -> list[Bar]:
    return [bar for bar in load_sample_data().bars if bar.symbol in SYMBOLS]


@cache
def prices() -> dict[str, pd.DataFrame]:
    rows = [(bar.symbol, bar.timestamp, bar.high, bar.low, bar.close) for bar in group()]
    frame = pd.DataFrame(rows, columns=["symbol", "at", "high", "low", "close"])
    return {str(symbol): each.reset_index(drop=True) for symbol, each in frame.groupby("symbol")}


def decisions(orders: list[Order]) -> list[tuple[int, str]]:
    return [(number, action) for number, action, _, _ in orders]


def played(cls: type[BaseStrategy], symbol: str, **parameters: object) -> list[tuple[int, str]]:
    strategy = cls.build("strategy", symbol, parameters=parameters)
    bars = [bar for bar in group() if bar.symbol == symbol]
    return decisions(play(strategy, bars, answer_after=2))


def expected(buy: np.ndarray, sell: Callable[[int, int], bool]) -> list[tuple[int, str]]:
    """Walk over the bars: buy when flat where `buy` says so; sell where `sell(bar, bought at)` says so."""
    orders: list[tuple[int, str]] = []
    bought: int | None = None
    for number, enters in enumerate(buy.tolist()):
        if bought is None and enters:
            bought = number
            orders.append((number, "BUY"))
        elif bought is not None and sell(number, bought):
            bought = None
            orders.append((number, "SELL"))
    return orders


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize(("lookback", "skip", "entry", "exit_"), [(126, 21, 0.05, 0.0), (10, 0, 0.02, -0.02)])
def test_momentum_trades_as_the_shifted_series_say(
    symbol: str, lookback: int, skip: int, entry: float, exit_: float
) -> None:
    close = prices()[symbol]["close"]
    gain = (close.shift(skip) / close.shift(lookback) - 1.0).to_numpy()
    wanted = expected(gain > entry, lambda bar, _: bool(gain[bar] < exit_))
    assert played(Momentum, symbol, lookback=lookback, skip=skip, entry=entry, exit=exit_) == wanted
    assert len(wanted) > 5


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize(("period", "entry", "trend", "patience"), [(20, 2.0, 200, 20), (10, 1.0, 50, 5)])
def test_mean_reversion_trades_as_the_rolling_series_say(
    symbol: str, period: int, entry: float, trend: int, patience: int
) -> None:
    close = prices()[symbol]["close"]
    window = close.rolling(period)
    score = ((close - window.mean()) / window.std(ddof=0)).to_numpy()
    buys = (score <= -entry) & (close > close.rolling(trend).mean()).to_numpy()
    wanted = expected(buys, lambda bar, bought: bool(score[bar] >= 0.0) or bar - bought >= patience)
    asked = {"period": period, "entry": entry, "trend": trend, "patience": patience}
    assert played(MeanReversion, symbol, **asked) == wanted
    assert len(wanted) > 5


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize(("entry", "exit_", "stop"), [(55, 20, 2.0), (20, 10, 1.0)])
def test_trend_following_trades_as_rolling_extremes_and_the_atr_of_talib_say(
    symbol: str, entry: int, exit_: int, stop: float
) -> None:
    frame = prices()[symbol]
    close = frame["close"].to_numpy()
    highest = frame["high"].rolling(entry).max().shift(1).to_numpy()
    lowest = frame["low"].rolling(exit_).min().shift(1).to_numpy()
    reach = talib.ATR(frame["high"].to_numpy(), frame["low"].to_numpy(), close, 20)
    wanted = expected(
        (close > highest) & ~np.isnan(reach),
        lambda bar, bought: bool(close[bar] < max(lowest[bar], close[bought] - stop * reach[bought])),
    )
    assert played(TrendFollowing, symbol, entry=entry, exit=exit_, stop=stop, risk=0.2) == wanted
    assert len(wanted) > 10


@pytest.mark.parametrize("best", [1, 2])
def test_rotation_holds_what_a_table_of_returns_ranks_best(best: int) -> None:
    frame = pd.DataFrame({symbol: each.set_index("at")["close"] for symbol, each in prices().items()})
    gains = frame.apply(lambda column: column.dropna().pct_change(126).shift(1)).reindex(frame.index)
    ranks = gains.rank(axis=1, ascending=False)
    asked = {"symbols": ",".join(SYMBOLS), "best": best}
    for symbol in SYMBOLS:
        strategy = SectorRotation.build("strategy", symbol, parameters=asked)
        told = [
            (group()[number].timestamp, action) for number, action in decisions(play(strategy, group(), 2))
        ]
        own = frame[symbol].dropna().index.intersection(gains[symbol].dropna().index)
        first_of_month = pd.Series(own, index=own).groupby([each.strftime("%Y-%m") for each in own]).first()
        held, wanted = False, []
        for at in first_of_month:
            wants = bool(ranks.loc[at, symbol] <= best) and bool(gains.loc[at, symbol] > 0)
            if wants != held:
                wanted.append((at, "BUY" if wants else "SELL"))
                held = wants
        assert told == wanted
        assert len(wanted) > 5


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("period", [2, 14, 100])
def test_an_average_true_range_is_that_of_talib(symbol: str, period: int) -> None:
    frame = prices()[symbol]
    columns = [frame[name].to_numpy() for name in ("high", "low", "close")]
    indicator = ATR(period)
    readings = [
        indicator.update(float(high), float(low), float(close))
        for high, low, close in zip(*columns, strict=True)
    ]
    wanted = talib.ATR(columns[0], columns[1], columns[2], period)
    assert [reading is None for reading in readings] == np.isnan(wanted).tolist()
    assert readings[period:] == pytest.approx(wanted[period:].tolist(), rel=1e-9)


@pytest.mark.parametrize("period", [1, 20])
def test_a_channel_leaves_the_bar_at_hand_out(period: int) -> None:
    frame = prices()["IBM"]
    channel = Channel(period)
    readings = [channel.update(high, low) for high, low in zip(frame["high"], frame["low"], strict=True)]
    highest, lowest = (
        frame["high"].rolling(period).max().shift(1),
        frame["low"].rolling(period).min().shift(1),
    )
    assert readings[:period] == [None] * period
    assert readings[period:] == list(zip(highest[period:], lowest[period:], strict=True))
