"""Follow a move while it gathers speed."""

from typing import Any

from models.errors import StrategyRejected
from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy
from strategies.indicators import MACD, Cross, restore_state, save_state
from strategies.parameters import Parameter, Parameters
from strategies.sizing import CASH, units_for


class MacdTrend(BaseStrategy):
    """Buys when the MACD comes above its signal line, sells all while it is below.

    Earlier in and out than moving averages of the same length, and so wrong more often: sideways markets
    make it trade much for little. Fees decide about it.
    Source: G. Appel, "Technical Analysis: Power Tools for Active Investors" (2005).
    """

    name = "macd_trend"
    parameters = Parameters(
        fast=Parameter(12, minimum=1, maximum=400, description="bars of the fast average"),
        slow=Parameter(26, minimum=2, maximum=400, description="bars of the slow average, more than fast"),
        signal=Parameter(9, minimum=2, maximum=400, description="bars of the signal line"),
        cash=CASH,
    )

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        fast, slow, signal = self.parameters.fast, self.parameters.slow, self.parameters.signal
        if fast >= slow:
            raise StrategyRejected(f"fast is {fast} and slow is {slow}; make fast smaller than slow")
        self.warmup_bars = slow + signal - 1
        self.macd = MACD(fast, slow, signal)
        self.cross = Cross()

    def on_bar(self, bar: Bar) -> None:
        """Buy on the crossing; sell on any bar that has something to sell and the lines the wrong way."""
        lines = self.macd.update(bar.close)
        if lines is None:
            return
        macd, signal = lines
        crossed = self.cross.update(macd, signal, scale=bar.close)
        held = self.position.expected
        if crossed > 0 and held <= 0:
            quantity = units_for(self.parameters.cash, bar.close, self.symbol)
            if quantity:
                self.send_signal("BUY", bar.close, quantity, metadata={"macd": macd, "signal": signal})
        elif self.cross.side == -1 and held > 0:
            self.send_signal("SELL", bar.close, held, metadata={"macd": macd, "signal": signal})

    def on_trade(self, trade: Trade) -> None:
        """Trades do not matter to it."""

    def get_state(self) -> dict[str, Any]:
        """Remember the averages."""
        return save_state(self.parameters, macd=self.macd, cross=self.cross)

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where they stood."""
        restore_state(state, self.parameters, macd=self.macd, cross=self.cross)
