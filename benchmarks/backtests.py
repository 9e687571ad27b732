"""Bars a second over history: an EMA cross filled at the next open, beside a bare loop and backtesting.py.

All three buy and sell the same units at the same opens; a run in which they do not is no measurement. The
bars are in memory. Beside the loop, which works out no statistics, the run alone is timed; beside
backtesting.py, which does, the run with its statistics. All have one thread: times are the processor's.
"""

import math
import random
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from time import process_time
from typing import Any, NamedTuple

from benchmarks.effort import Effort
from benchmarks.rows import Floor, Goal, MeasurementError, Row, compare
from models.market_data import Bar, Trade
from services.history.backtest import run
from services.history.options import BacktestOptions
from strategies.base_strategy import BaseStrategy

BARS_PER_EVENT = 2  # of the effort: 200,000 in the full form
FAST, SLOW = 20, 50
UNITS = 10.0
CASH = 1_000_000.0
FIRST = datetime(2020, 1, 6, tzinfo=UTC)
LOOP_GOAL = Goal(0.14)
PEER_GOAL = Goal(5.0)


class RoundTrip(NamedTuple):
    """Bought and sold again: the times, and the prices to 9 decimals."""

    entry: datetime
    entry_price: float
    exit: datetime
    exit_price: float


class EmaCross(BaseStrategy):
    """Buys ten units when the fast average of closes comes above the slow one, sells when it comes below."""

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.seen = 0
        self.fast = self.slow = 0.0
        self.is_above = False

    def on_bar(self, bar: Bar) -> None:
        """Average, compare, and act on a crossing after the fiftieth bar."""
        close = bar.close
        self.seen += 1
        if self.seen == 1:
            self.fast = self.slow = close
            return
        self.fast += (close - self.fast) * 2.0 / (FAST + 1)
        self.slow += (close - self.slow) * 2.0 / (SLOW + 1)
        if self.seen < SLOW or (self.fast > self.slow) is self.is_above:
            return
        self.is_above = not self.is_above
        if self.seen > SLOW and self.is_above:
            self.send_signal("BUY", close, UNITS)
        elif self.position.expected:
            self.send_signal("SELL", close, UNITS)

    def on_trade(self, trade: Trade) -> None:
        """Trades do not matter to it."""


def ema_cross(_url: str, effort: Effort) -> list[Row]:
    """Compare with a loop of the same arithmetic, and with backtesting.py."""
    if find_spec("backtesting") is None:
        raise MeasurementError("backtesting is not installed: pip install -r requirements-bench.txt")
    bars = walk(BARS_PER_EVENT * effort.events)
    frame = _frame(bars)
    alone, judged, loop, peer = [], [], [], []
    for _ in range(effort.rounds):
        trips, seconds, judged_seconds = timed_run(bars)
        bare_trips, bare_seconds = timed_loop(bars)
        their_trips, their_seconds = timed_peer(frame)
        if not trips == bare_trips == their_trips:
            counts = f"{len(trips)}, {len(bare_trips)} and {len(their_trips)}"
            raise MeasurementError(f"the three did not trade alike: {counts} round trips")
        alone.append(len(bars) / seconds)
        judged.append(len(bars) / judged_seconds)
        loop.append(len(bars) / bare_seconds)
        peer.append(len(bars) / their_seconds)
    name = f"backtest, EMA cross on {len(bars):,} bars"
    return [
        compare(name, "bars/s", alone, Floor("bare loop of the same arithmetic", loop), LOOP_GOAL),
        compare(f"{name}, with statistics", "bars/s", judged, Floor("backtesting.py", peer), PEER_GOAL),
    ]


def walk(count: int) -> tuple[Bar, ...]:
    """Make minute bars of a price that wanders, the same ones each time."""
    chance = random.Random(7)  # noqa: S311 — prices, not secrets
    bars, price = [], 100.0
    for number in range(count):
        opened = price * math.exp(chance.gauss(0.0, 0.0002))
        price = opened * math.exp(chance.gauss(0.0, 0.001))
        high, low = max(opened, price) * 1.0005, min(opened, price) * 0.9995
        at = FIRST + number * timedelta(minutes=1)
        bars.append(Bar("WALK", "1m", opened, high, low, price, 1_000.0, at))
    return tuple(bars)


def timed_run(bars: Sequence[Bar]) -> tuple[list[RoundTrip], float, float]:
    """Play the strategy; return how long it took alone, and with its statistics."""
    began = process_time()
    played = run(EmaCross, bars, BacktestOptions(cash=CASH))
    seconds = process_time() - began
    _ = played.statistics
    judged = process_time() - began
    trips = [
        RoundTrip(trip.entry_time, round(trip.entry_price, 9), trip.exit_time, round(trip.exit_price, 9))
        for trip in played.trades
        if trip.exit_time is not None and trip.exit_price is not None
    ]
    return trips, seconds, judged


def timed_loop(bars: Sequence[Bar]) -> tuple[list[RoundTrip], float]:
    """Do the same arithmetic with nothing around it."""
    began = process_time()
    fast = slow = cash = held = 0.0
    is_above = False
    seen, wanted, entry = 0, 0, bars[0]
    trips: list[tuple[Bar, Bar]] = []
    for bar in bars:
        if wanted:
            if wanted > 0:
                cash, held, entry = cash - UNITS * bar.open, UNITS, bar
            else:
                cash, held = cash + UNITS * bar.open, 0.0
                trips.append((entry, bar))
            wanted = 0
        close = bar.close
        seen += 1
        if seen == 1:
            fast = slow = close
            continue
        fast += (close - fast) * 2.0 / (FAST + 1)
        slow += (close - slow) * 2.0 / (SLOW + 1)
        if seen >= SLOW and (fast > slow) is not is_above:
            is_above = not is_above
            if seen > SLOW and is_above:
                wanted = 1
            elif held:
                wanted = -1
    seconds = process_time() - began
    return [
        RoundTrip(entry.timestamp, round(entry.open, 9), end.timestamp, round(end.open, 9))
        for entry, end in trips
    ], seconds


def _frame(bars: Sequence[Bar]) -> Any:
    import pandas as pd  # noqa: PLC0415 — of backtesting.py alone

    columns = {
        name.title(): [getattr(bar, name) for bar in bars] for name in ("open", "high", "low", "close")
    }
    return pd.DataFrame(columns, index=pd.DatetimeIndex([bar.timestamp.replace(tzinfo=None) for bar in bars]))


def timed_peer(frame: Any) -> tuple[list[RoundTrip], float]:
    """Play it as its own users would: averages computed beforehand on arrays, decisions bar by bar."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from backtesting import Backtest, Strategy  # noqa: PLC0415 — only where it is installed
        from backtesting.lib import crossover  # noqa: PLC0415

        class Peer(Strategy):  # type: ignore[misc]  # comes without types
            def init(self) -> None:
                close = self.data.Close.s
                self.fast = self.I(lambda: close.ewm(span=FAST, adjust=False).mean())
                self.slow = self.I(lambda: close.ewm(span=SLOW, adjust=False).mean())

            def next(self) -> None:
                if len(self.data) <= SLOW:
                    return
                if crossover(self.fast, self.slow):
                    self.buy(size=int(UNITS))
                elif crossover(self.slow, self.fast):
                    self.position.close()

        began = process_time()
        stats = Backtest(frame, Peer, cash=CASH).run()
        seconds = process_time() - began
    trades = stats["_trades"]
    columns = (trades[name] for name in ("EntryTime", "EntryPrice", "ExitTime", "ExitPrice"))
    return [
        RoundTrip(
            entry.to_pydatetime().replace(tzinfo=UTC),
            round(price, 9),
            end.to_pydatetime().replace(tzinfo=UTC),
            round(paid, 9),
        )
        for entry, price, end, paid in zip(*columns, strict=True)
    ], seconds
