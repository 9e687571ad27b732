"""Hold what has risen over the last months."""

from typing import Any

from models.errors import StrategyRejected
from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy
from strategies.closes import Closes
from strategies.indicators import restore_state, save_state
from strategies.parameters import Parameter, Parameters
from strategies.sizing import CASH, units_for


class Momentum(BaseStrategy):
    """Holds while the return over `lookback` bars, without the last `skip` of them, is good enough.

    Buys above `entry`, sells all below `exit`; between the two it keeps what it has. The latest bars are left
    out because a rise of days tends to be given back, while one of months tends to go on.
    Source: T. Moskowitz, Y. H. Ooi, L. H. Pedersen, "Time Series Momentum", Journal of Financial Economics
    104 (2012); the month left out after N. Jegadeesh, S. Titman, Journal of Finance 48 (1993).
    """

    name = "momentum"
    parameters = Parameters(
        lookback=Parameter(126, minimum=2, maximum=400, description="bars that the return reaches back"),
        skip=Parameter(21, minimum=0, maximum=399, description="latest bars left out, fewer than lookback"),
        entry=Parameter(0.05, minimum=-1.0, maximum=10.0, description="return to buy above: 0.05 is 5 %"),
        exit=Parameter(0.0, minimum=-1.0, maximum=10.0, description="return to sell below, at most entry"),
        cash=CASH,
    )

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        asked = self.parameters
        if asked.skip >= asked.lookback:
            raise StrategyRejected(
                f"skip is {asked.skip} and lookback is {asked.lookback}; make skip smaller than lookback"
            )
        if asked.exit > asked.entry:
            raise StrategyRejected(
                f"exit is {asked.exit} and entry is {asked.entry}; make exit the smaller one"
            )
        self.warmup_bars = asked.lookback
        self.closes = Closes(asked.lookback + 1)

    def on_bar(self, bar: Bar) -> None:
        """Buy or sell on any bar that has a reason to; what was refused is tried again while it lasts."""
        self.closes.update(bar.close)
        gain = self.closes.gain(self.parameters.lookback, self.parameters.skip)
        if gain is None:
            return
        held = self.position.expected
        if gain > self.parameters.entry and held <= 0:
            quantity = units_for(self.parameters.cash, bar.close, self.symbol)
            if quantity:
                self.send_signal("BUY", bar.close, quantity, metadata={"return": gain})
        elif gain < self.parameters.exit and held > 0:
            self.send_signal("SELL", bar.close, held, metadata={"return": gain})

    def on_trade(self, trade: Trade) -> None:
        """Trades do not matter to it."""

    def get_state(self) -> dict[str, Any]:
        """Remember the closes that the return is made of."""
        return save_state(self.parameters, closes=self.closes)

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        restore_state(state, self.parameters, closes=self.closes)
