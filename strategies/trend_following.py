"""Go with a price that breaks out of its range, with less money the more it moves."""

from typing import Any

from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy
from strategies.indicators import ATR, Channel, restore_state, save_state
from strategies.parameters import Parameter, Parameters
from strategies.sizing import CASH, units_for


class TrendFollowing(BaseStrategy):
    """Buys a close above the highest high of `entry` bars, and sells below the lowest low of `exit` bars.

    Sized by volatility: a fall by `stop` average true ranges costs `risk` of `cash`, and that far below the
    close that it bought at it sells. So a quiet symbol and a wild one put the same money at stake.
    Source: the channel rule of R. Donchian; size and stop in average true ranges after C. Faith, "Way of the
    Turtle" (2007).
    """

    name = "trend_following"
    parameters = Parameters(
        entry=Parameter(55, minimum=1, maximum=400, description="bars whose highest high it buys above"),
        exit=Parameter(20, minimum=1, maximum=400, description="bars whose lowest low it sells below"),
        volatility=Parameter(20, minimum=1, maximum=400, description="bars of the average true range"),
        stop=Parameter(2.0, minimum=0.1, maximum=20.0, description="average true ranges down to the stop"),
        risk=Parameter(0.02, minimum=0.0001, maximum=1.0, description="share of cash lost at the stop"),
        cash=CASH,
    )

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        asked = self.parameters
        self.warmup_bars = max(asked.entry, asked.exit, asked.volatility)
        self.entry, self.exit = Channel(asked.entry), Channel(asked.exit)
        self.range = ATR(asked.volatility)
        self.stop_price = 0.0

    def on_bar(self, bar: Bar) -> None:
        """Buy on the breakout; sell on any bar that has something to sell and closes low enough."""
        entry, exit_ = self.entry.update(bar.high, bar.low), self.exit.update(bar.high, bar.low)
        reach = self.range.update(bar.high, bar.low, bar.close)
        if entry is None or exit_ is None or reach is None:
            return
        held, (_, lowest) = self.position.expected, exit_
        if held > 0:
            if bar.close < max(lowest, self.stop_price):
                self.send_signal(
                    "SELL", bar.close, held, metadata={"lowest": lowest, "stop": self.stop_price}
                )
        elif bar.close > entry[0]:
            quantity = self._units(bar.close, reach)
            if quantity:
                self.stop_price = bar.close - self.parameters.stop * reach
                self.send_signal("BUY", bar.close, quantity, metadata={"highest": entry[0], "range": reach})

    def on_trade(self, trade: Trade) -> None:
        """Trades do not matter to it."""

    def get_state(self) -> dict[str, Any]:
        """Remember both channels, the average true range and the stop."""
        saved = save_state(self.parameters, entry=self.entry, exit=self.exit, range=self.range)
        return {**saved, "stop_price": self.stop_price}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where they stood."""
        restore_state(state, self.parameters, entry=self.entry, exit=self.exit, range=self.range)
        self.stop_price = float(state["stop_price"])

    def _units(self, price: float, reach: float) -> float:
        """Return how many units lose `risk` of `cash` at the stop; never more than `cash` buys."""
        cash, at_stake = self.parameters.cash, self.parameters.stop * reach
        share = min(1.0, self.parameters.risk * price / at_stake) if at_stake > 0 else 1.0
        return units_for(cash * share, price, self.symbol)
