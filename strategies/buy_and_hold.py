"""Buy at the first bar and hold: what every other strategy has to beat."""

from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy
from strategies.parameters import Parameters
from strategies.sizing import CASH, units_for


class BuyAndHold(BaseStrategy):
    """Buys on the first bar that `cash` buys a share on, and never sells.

    An entry that the gateway refuses is tried again on the next bar.
    """

    name = "buy_and_hold"
    parameters = Parameters(cash=CASH)

    def on_bar(self, bar: Bar) -> None:
        """Buy unless something is held or on its way."""
        if self.position.expected > 0:
            return
        quantity = units_for(self.parameters.cash, bar.close, self.symbol)
        if quantity:
            self.send_signal("BUY", bar.close, quantity)

    def on_trade(self, trade: Trade) -> None:
        """Trades do not matter to it."""
