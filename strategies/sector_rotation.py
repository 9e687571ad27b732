"""Hold a symbol while it is among the strongest of its group."""

from datetime import datetime
from typing import Any

import msgspec

from models.errors import StrategyRejected
from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy
from strategies.closes import Closes
from strategies.indicators import restore_state, save_state
from strategies.parameters import Parameter, Parameters
from strategies.sizing import CASH, units_for

MOST_SYMBOLS = 15


class SectorRotation(BaseStrategy):
    """Holds its symbol while that is among the `best` of `symbols` by their return over `lookback` bars.

    Looks at the first bar of every `period`, and only at what was known before that bar, so that it does not
    matter which symbol's bar comes first. A symbol that has fallen is not held, even if the others fell more.
    One session for each symbol of the group makes the rotation: each ranks them all and trades its own.
    Source: T. Moskowitz, M. Grinblatt, "Do Industries Explain Momentum?", Journal of Finance 54 (1999); the
    monthly form after M. Faber, "Relative Strength Strategies for Investing" (2010).
    """

    name = "sector_rotation"
    parameters = Parameters(
        symbols=Parameter(
            "XLB,XLE,XLF,XLI,XLK,XLP,XLU,XLV,XLY", description="the group, with commas between; at most 15"
        ),
        best=Parameter(3, minimum=1, maximum=15, description="how many of them are held"),
        lookback=Parameter(126, minimum=1, maximum=200, description="bars that the return reaches back"),
        period=Parameter("month", choices=("bar", "day", "week", "month"), description="how often it looks"),
        cash=CASH,
    )

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        group = [each.strip() for each in self.parameters.symbols.split(",")]
        self.watched_symbols = tuple(dict.fromkeys(each for each in group if each not in {"", symbol}))
        if len(self.watched_symbols) >= MOST_SYMBOLS:
            raise StrategyRejected(
                f"symbols names more than {MOST_SYMBOLS}, {symbol} among them; leave some out"
            )
        lookback = self.parameters.lookback
        self.warmup_bars = lookback + 2
        self.group = {each: Closes(lookback + 2) for each in (symbol, *self.watched_symbols)}
        self.looked_at = ""
        self.wanted = False

    def on_bar(self, bar: Bar) -> None:
        """Take note of every symbol's close; at bars of its own, come to hold what is wanted."""
        at = bar.timestamp.timestamp()
        self.group[bar.symbol].update(bar.close, at)
        if bar.symbol != self.symbol:
            return
        self._look(bar.timestamp, at)
        held = self.position.expected
        if self.wanted and held <= 0:
            quantity = units_for(self.parameters.cash, bar.close, self.symbol)
            if quantity:
                self.send_signal("BUY", bar.close, quantity)
        elif not self.wanted and held > 0:
            self.send_signal("SELL", bar.close, held)

    def on_trade(self, trade: Trade) -> None:
        """Trades do not matter to it."""

    def get_state(self) -> dict[str, Any]:
        """Remember every symbol's closes, and which period was looked at last."""
        closes = {symbol: msgspec.to_builtins(closes) for symbol, closes in self.group.items()}
        return {
            **save_state(self.parameters),
            "closes": closes,
            "looked_at": self.looked_at,
            "wanted": self.wanted,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        restore_state(state, self.parameters)
        self.group |= msgspec.convert(state["closes"], dict[str, Closes])
        self.looked_at, self.wanted = str(state["looked_at"]), bool(state["wanted"])

    def _look(self, moment: datetime, at: float) -> None:
        """At the first bar of a period, counted in UTC, find out whether its symbol is to be held."""
        year, week, _ = moment.isocalendar()
        day, month = f"{moment:%Y-%m-%d}", f"{moment:%Y-%m}"
        periods = {"bar": moment.isoformat(), "day": day, "week": f"{year}-{week}", "month": month}
        now = periods[self.parameters.period]
        gains = {
            each: closes.gain_before(at, self.parameters.lookback) for each, closes in self.group.items()
        }
        own = gains[self.symbol]
        if now == self.looked_at or own is None:
            return
        self.looked_at = now
        known = [(-gain, symbol) for symbol, gain in gains.items() if gain is not None]
        self.wanted = own > 0 and (-own, self.symbol) in sorted(known)[: self.parameters.best]
