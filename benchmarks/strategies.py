"""Strategies that are only there to be called; the worker loads this file through STRATEGIES_PATH."""

from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy


class CountBars(BaseStrategy):
    """Counts, which is as little as an `on_bar` that leaves a trace can do."""

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.seen = 0

    def on_bar(self, bar: Bar) -> None:  # noqa: ARG002 — that it was called is all that counts
        """Count the bar."""
        self.seen += 1

    def on_trade(self, trade: Trade) -> None:
        """Trades do not matter to it."""


class SignalEveryBar(CountBars):
    """Buys one unit on every bar."""

    def on_bar(self, bar: Bar) -> None:
        """Send a signal."""
        self.send_signal("BUY", bar.close, 1.0)


class SignalAtStart(CountBars):
    """Buys one unit when it starts."""

    def on_start(self) -> None:
        """Send a signal."""
        self.send_signal("BUY", 1.0, 1.0)


class SignalNowAndThen(CountBars):
    """Buys one unit on one bar in thirty, and not at the same moment as its siblings."""

    def on_bar(self, bar: Bar) -> None:
        """Send a signal, or not."""
        if (bar.timestamp.minute + int(bar.symbol[3:])) % 30 == 0:
            self.send_signal("BUY", bar.close, 1.0)
