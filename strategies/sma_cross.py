"""Follow the trend while a fast moving average is above a slow one."""

from typing import Any

from models.errors import StrategyRejected
from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy
from strategies.indicators import SMA, Cross, restore_state, save_state
from strategies.parameters import Parameter, Parameters
from strategies.sizing import CASH, units_for


class SmaCross(BaseStrategy):
    """Buys when the fast average of closes comes above the slow one, sells all while it is below.

    Earns in long trends; loses a little at every turn of a market that goes sideways.
    Source: W. Brock, J. Lakonishok, B. LeBaron, "Simple Technical Trading Rules and the Stochastic Properties
    of Stock Returns", Journal of Finance 47 (1992), the variable-length moving average.
    """

    name = "sma_cross"
    parameters = Parameters(
        fast=Parameter(20, minimum=1, maximum=400, description="bars of the fast average"),
        slow=Parameter(50, minimum=2, maximum=400, description="bars of the slow average, more than fast"),
        cash=CASH,
    )

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        fast, slow = self.parameters.fast, self.parameters.slow
        if fast >= slow:
            raise StrategyRejected(f"fast is {fast} and slow is {slow}; make fast smaller than slow")
        self.warmup_bars = slow
        self.fast = SMA(fast)
        self.slow = SMA(slow)
        self.cross = Cross()

    def on_bar(self, bar: Bar) -> None:
        """Buy on the crossing; sell on any bar that has something to sell and the averages the wrong way."""
        fast, slow = self.fast.update(bar.close), self.slow.update(bar.close)
        if fast is None or slow is None:
            return
        crossed = self.cross.update(fast, slow, scale=bar.close)
        held = self.position.expected
        if crossed > 0 and held <= 0:
            quantity = units_for(self.parameters.cash, bar.close, self.symbol)
            if quantity:
                self.send_signal("BUY", bar.close, quantity, metadata={"fast": fast, "slow": slow})
        elif self.cross.side == -1 and held > 0:
            self.send_signal("SELL", bar.close, held, metadata={"fast": fast, "slow": slow})

    def on_trade(self, trade: Trade) -> None:
        """Trades do not matter to it."""

    def get_state(self) -> dict[str, Any]:
        """Remember both averages."""
        return save_state(self.parameters, fast=self.fast, slow=self.slow, cross=self.cross)

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where they stood."""
        restore_state(state, self.parameters, fast=self.fast, slow=self.slow, cross=self.cross)
