"""A strategy that decides on trades: none of those that come with the worker does."""

from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy

STEPS = 3


class TradeFollower(BaseStrategy):
    """Buys after three prices that rose, sells after three that fell."""

    name = "trade_follower"

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.steps = 0
        self.last = 0.0

    def on_bar(self, bar: Bar) -> None:
        """Bars do not matter to it."""

    def on_trade(self, trade: Trade) -> None:
        """Count how often the price moved one way."""
        step = (trade.price > self.last) - (trade.price < self.last)
        self.steps = step if step * self.steps < 0 else self.steps + step
        self.last = trade.price
        if self.steps >= STEPS and self.position.expected <= 0:
            self.send_signal("BUY", trade.price, 1)
        elif self.steps <= -STEPS and self.position.expected > 0:
            self.send_signal("SELL", trade.price, self.position.expected)
