"""The default strategy: enough to see the whole chain move, and nothing to trade with."""

from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy
from strategies.parameters import Parameter, Parameters


class MockStrategy(BaseStrategy):
    """Buys on one bar and sells on a later one, every `every` bars, whatever the market does.

    It proves that market data comes in and orders go out; started where no strategy is named.
    """

    name = "mock"
    parameters = Parameters(
        every=Parameter(5, minimum=1, maximum=10_000, description="bars from one signal to the next"),
        quantity=Parameter(1.0, minimum=0.000001, description="units of each order"),
    )

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.bars = 0

    def on_bar(self, bar: Bar) -> None:
        """Count the bar; on every n-th, buy when nothing is held or on its way, else sell it."""
        self.bars += 1
        if self.bars % self.parameters.every:
            return
        if self.position.expected > 0:
            self.send_signal("SELL", bar.close, self.position.expected)
        else:
            self.send_signal("BUY", bar.close, self.parameters.quantity)

    def on_trade(self, trade: Trade) -> None:
        """Trades do not matter to it."""

    def get_state(self) -> dict[str, int]:
        """Remember where in the cycle it is."""
        return {"bars": self.bars}

    def set_state(self, state: dict[str, int]) -> None:
        """Go on where the cycle stood."""
        self.bars = int(state["bars"])
