"""What a backtest leaves behind: what was decided and filled; all else is worked out when asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from models.execution import ExecutionReport
from models.market_data import Bar, Trade
from models.signal import Signal
from services.history.broker import Fill
from services.history.equity import EquityCurve, trace
from services.history.options import BacktestOptions
from services.history.round_trips import RoundTrip, pair
from services.history.statistics import Statistics, judge
from strategies.base_strategy import BaseStrategy


class Ended(Struct, frozen=True):
    """A session that was given up before the data ended: its state, and why, as live."""

    session_key: str
    symbol: str
    state: str
    reason: str
    time: datetime


@dataclass(frozen=True)
class BacktestRun:
    """A strategy's way through the past.

    `events` are those that were played, without the warm-up, `traded` those of the `symbols` that had a
    session. `signals` are all decisions in their order, `reports` the answers that were told, rejections
    among them; `unfilled` counts orders that the data ended before. `seconds` is how long it took to play.
    """

    strategy: type[BaseStrategy]
    parameters: Mapping[str, Any]
    symbols: tuple[str, ...]
    options: BacktestOptions
    events: Sequence[Bar | Trade]
    traded: Sequence[Bar | Trade]
    signals: list[Signal]
    fills: list[Fill]
    reports: list[ExecutionReport]
    ended: list[Ended]
    unfilled: int
    seconds: float

    @cached_property
    def _trips(self) -> tuple[list[RoundTrip], list[RoundTrip]]:
        return pair(self.fills)

    @property
    def trades(self) -> list[RoundTrip]:
        """The round trips that were closed, in the order of their exits."""
        return self._trips[0]

    @property
    def holdings(self) -> list[RoundTrip]:
        """What is still held, each purchase by itself."""
        return self._trips[1]

    @cached_property
    def equity(self) -> EquityCurve:
        """What the account was worth at every time."""
        return trace(self.traded, self.fills, self.options.cash, self.symbols)

    @property
    def is_crypto(self) -> bool:
        """Whether everything played trades around the clock."""
        return all("/" in symbol for symbol in self.symbols)

    @cached_property
    def statistics(self) -> Statistics:
        """What the run is judged by."""
        return judge(self.equity, self.trades, self.options.cash, is_crypto=self.is_crypto)

    def describe(self) -> dict[str, Any]:
        """Return the document of `--json`."""
        return {
            "strategy": self.strategy.name,
            "symbol": ",".join(self.symbols),
            "bars": len(self.traded),
            "signals": len(self.signals),
            **asdict(self.statistics),
            "seconds": self.seconds,
        }
