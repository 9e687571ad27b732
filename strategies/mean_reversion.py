"""Buy what fell too far below its average, in a market that rises."""

import math
from typing import Any

from models.errors import StrategyRejected
from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy
from strategies.indicators import SMA, Bollinger, restore_state, save_state
from strategies.parameters import Parameter, Parameters
from strategies.sizing import CASH, units_for


class MeanReversion(BaseStrategy):
    """Buys a close `entry` standard deviations under the average, and sells once it is back at `exit`.

    Only above the average of `trend` closes, since a fall below it is more often the start of a longer one.
    After `patience` bars it sells whatever the price: what has not come back by then seldom does.
    Source: J. Poterba, L. Summers, "Mean Reversion in Stock Prices", Journal of Financial Economics 22
    (1988); the long average and the exit by time after L. Connors, C. Alvarez, "Short Term Trading
    Strategies That Work" (2009).
    """

    name = "mean_reversion"
    parameters = Parameters(
        period=Parameter(20, minimum=2, maximum=400, description="bars of the average and the deviation"),
        entry=Parameter(2.0, minimum=0.1, maximum=10.0, description="deviations under the average to buy at"),
        exit=Parameter(0.0, minimum=-10.0, maximum=10.0, description="deviations from it to sell at"),
        trend=Parameter(200, minimum=1, maximum=400, description="bars of the average to buy above; 1: any"),
        patience=Parameter(
            20, minimum=1, maximum=10_000, description="bars until it sells whatever the price"
        ),
        cash=CASH,
    )

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        asked = self.parameters
        if asked.entry >= math.sqrt(asked.period - 1):
            raise StrategyRejected(
                f"of {asked.period} closes none is ever {asked.entry} deviations from their mean; "
                f"make entry smaller than {math.sqrt(asked.period - 1):.2f}, or period larger"
            )
        if asked.exit <= -asked.entry:
            raise StrategyRejected(f"exit is {asked.exit}; make it larger than {-asked.entry}")
        self.warmup_bars = max(asked.period, asked.trend) - 1
        self.bands = Bollinger(asked.period, 1.0)
        self.trend = SMA(asked.trend)
        self.bars_held = 0

    def on_bar(self, bar: Bar) -> None:
        """Buy below the band in a rising market; sell when it came back, or when patience ends."""
        bands, trend = self.bands.update(bar.close), self.trend.update(bar.close)
        held = self.position.expected
        self.bars_held = self.bars_held + 1 if held > 0 else 0
        if bands is None or trend is None:
            return
        lower, middle, _ = bands
        deviation = middle - lower
        score = (bar.close - middle) / deviation if deviation > 0 else 0.0
        if held > 0:
            if score >= self.parameters.exit or self.bars_held >= self.parameters.patience:
                self.send_signal("SELL", bar.close, held, metadata={"score": score})
        elif score <= -self.parameters.entry and (bar.close > trend or self.parameters.trend == 1):
            quantity = units_for(self.parameters.cash, bar.close, self.symbol)
            if quantity:
                self.send_signal("BUY", bar.close, quantity, metadata={"score": score})

    def on_trade(self, trade: Trade) -> None:
        """Trades do not matter to it."""

    def get_state(self) -> dict[str, Any]:
        """Remember both averages, and for how long something is held."""
        return {
            **save_state(self.parameters, bands=self.bands, trend=self.trend),
            "bars_held": self.bars_held,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where they stood."""
        restore_state(state, self.parameters, bands=self.bands, trend=self.trend)
        self.bars_held = int(state["bars_held"])
