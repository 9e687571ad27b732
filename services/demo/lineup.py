"""Which sessions the demo starts: five strategies on four stocks, and the mock strategy on a fifth.

One more, of a discovered strategy, comes out of the catalogue (`discovery.py`).
"""

from dataclasses import dataclass

STRATEGIES = ("sma_cross", "rsi_reversion", "macd_trend", "bollinger_breakout", "buy_and_hold")
SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")


@dataclass(frozen=True, slots=True)
class Entry:
    """One session, with an account of its own under the same name.

    The name, and so the ids of all signals, are the same at every run: two runs can be compared. A strategy
    of the catalogue is started by its `strategy_id`, the others by their name.
    """

    strategy: str
    symbol: str
    strategy_id: str | None = None

    @property
    def session_id(self) -> str:
        """The session's id, which is its user's id too."""
        return f"{self.strategy}-{self.symbol}"


LINEUP = (
    *(Entry(strategy, symbol) for symbol in SYMBOLS for strategy in STRATEGIES),
    Entry("mock", "FB"),
)
