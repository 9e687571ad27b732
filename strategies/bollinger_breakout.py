"""Go with a price that leaves its usual range."""

import math
from typing import Any

from models.errors import StrategyRejected
from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy
from strategies.indicators import Bollinger, Cross, restore_state, save_state
from strategies.parameters import Parameter, Parameters
from strategies.sizing import CASH, units_for


class BollingerBreakout(BaseStrategy):
    """Buys when the close comes above the upper band, sells all once it is below the band named by `exit`.

    Earns when a quiet market starts to move; loses to false starts, and the more the wider `exit` is.
    Source: J. Bollinger, "Bollinger on Bollinger Bands" (2001), his method I, volatility breakout; he leaves
    at the lower band, while the middle one, the default here, gives less of a gain back.
    """

    name = "bollinger_breakout"
    parameters = Parameters(
        period=Parameter(20, minimum=2, maximum=400, description="bars of the average and the deviation"),
        deviations=Parameter(2.0, minimum=0.1, maximum=10.0, description="standard deviations to a band"),
        exit=Parameter("middle", choices=("middle", "lower"), description="band to sell below"),
        cash=CASH,
    )

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        period, deviations = self.parameters.period, self.parameters.deviations
        if deviations >= math.sqrt(period - 1):
            raise StrategyRejected(
                f"of {period} closes none is ever {deviations} deviations from their mean; "
                f"make deviations smaller than {math.sqrt(period - 1):.2f}, or period larger"
            )
        self.warmup_bars = period
        self.bands = Bollinger(period, deviations)
        self.cross = Cross()
        self.exit = Cross()

    def on_bar(self, bar: Bar) -> None:
        """Buy on the breakout; sell on any bar that has something to sell and closes low enough."""
        bands = self.bands.update(bar.close)
        if bands is None:
            return
        lower, middle, upper = bands
        crossed = self.cross.update(bar.close, upper, scale=bar.close)
        self.exit.update(bar.close, middle if self.parameters.exit == "middle" else lower, scale=bar.close)
        held = self.position.expected
        if crossed > 0 and held <= 0:
            quantity = units_for(self.parameters.cash, bar.close, self.symbol)
            if quantity:
                self.send_signal("BUY", bar.close, quantity, metadata={"middle": middle, "upper": upper})
        elif self.exit.side == -1 and held > 0:
            self.send_signal("SELL", bar.close, held, metadata={"lower": lower, "middle": middle})

    def on_trade(self, trade: Trade) -> None:
        """Trades do not matter to it."""

    def get_state(self) -> dict[str, Any]:
        """Remember the closes that the bands are made of."""
        return save_state(self.parameters, bands=self.bands, cross=self.cross)

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where they stood."""
        restore_state(state, self.parameters, bands=self.bands, cross=self.cross)
