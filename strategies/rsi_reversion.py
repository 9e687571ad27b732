"""Buy what was sold too far, once it turns."""

from typing import Any

from models.errors import StrategyRejected
from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy
from strategies.indicators import RSI, Cross, restore_state, save_state
from strategies.parameters import Parameter, Parameters
from strategies.sizing import CASH, units_for


class RsiReversion(BaseStrategy):
    """Buys when the RSI comes back up through `oversold`, sells all once it reaches `exit_level`.

    Waiting for the way back up avoids buying into a fall that goes on. Earns in a market that swings within
    a range; holds on to a loss through a long decline, because only the RSI takes it out.
    Source: J. W. Wilder, "New Concepts in Technical Trading Systems" (1978), section VI, with its levels.
    """

    name = "rsi_reversion"
    parameters = Parameters(
        period=Parameter(14, minimum=2, maximum=400, description="moves that the RSI averages"),
        oversold=Parameter(30.0, minimum=1.0, maximum=99.0, description="RSI to come back up through"),
        exit_level=Parameter(
            70.0, minimum=1.0, maximum=99.0, description="RSI to sell at: 70 is overbought, 50 the middle"
        ),
        cash=CASH,
    )

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        oversold, exit_level = self.parameters.oversold, self.parameters.exit_level
        if oversold >= exit_level:
            raise StrategyRejected(
                f"oversold is {oversold} and exit_level is {exit_level}; make oversold the smaller one"
            )
        self.warmup_bars = self.parameters.period + 1
        self.rsi = RSI(self.parameters.period)
        self.cross = Cross()

    def on_bar(self, bar: Bar) -> None:
        """Buy on the way back up; sell on any bar that has something to sell and the RSI high enough."""
        rsi = self.rsi.update(bar.close)
        if rsi is None:
            return
        crossed = self.cross.update(rsi, self.parameters.oversold, scale=100.0)
        held = self.position.expected
        if crossed > 0 and held <= 0:
            quantity = units_for(self.parameters.cash, bar.close, self.symbol)
            if quantity:
                self.send_signal("BUY", bar.close, quantity, metadata={"rsi": rsi})
        elif rsi >= self.parameters.exit_level and held > 0:
            self.send_signal("SELL", bar.close, held, metadata={"rsi": rsi})

    def on_trade(self, trade: Trade) -> None:
        """Trades do not matter to it."""

    def get_state(self) -> dict[str, Any]:
        """Remember the averages of the RSI."""
        return save_state(self.parameters, rsi=self.rsi, cross=self.cross)

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where they stood."""
        restore_state(state, self.parameters, rsi=self.rsi, cross=self.cross)
