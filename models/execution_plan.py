"""An approved portfolio strategy: what it may hold, how much of it, and under which conditions."""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID, uuid5

from msgspec import Struct

EXECUTION_NAMESPACE = UUID("3d1f6c44-5a0e-5d5e-8a5b-6f0f3f0a7c21")

IndicatorName = Literal["RSI", "MACD"]
MacdState = Literal["bullish", "bearish"]


class RiskParams(Struct, frozen=True, kw_only=True):
    """Limits that an approval asks for, each a share; they can only tighten those of the worker.

    `max_position_size` is the share of the portfolio in one symbol, `stop_loss_pct` the loss of a position
    against its entry, `max_daily_loss` the loss of a day against its opening value.
    """

    max_position_size: float | None = None
    stop_loss_pct: float | None = None
    max_daily_loss: float | None = None


class EntryRules(Struct, frozen=True, kw_only=True):
    """What a symbol's bars must say before it is bought for the first time; all named indicators must agree.

    RSI must be under `rsi_threshold` (0 to 100); `macd_signal` is `bullish` while the MACD line is above its
    signal, `bearish` while it is below.
    """

    indicators: tuple[IndicatorName, ...] = ()
    rsi_threshold: float | None = None
    macd_signal: MacdState | None = None


class PortfolioConfig(Struct, frozen=True, kw_only=True):
    """The portfolio that was approved. `allocation` is each symbol's share of it; what is left stays cash."""

    name: str
    type: str
    symbols: tuple[str, ...]
    allocation: dict[str, Decimal]
    initial_capital: Decimal
    risk_params: RiskParams = RiskParams()
    entry_rules: EntryRules = EntryRules()


class Approval(Struct, frozen=True, kw_only=True):
    """The message `strategy.approved`. The same strategy and timestamp are the same approval."""

    strategy_id: UUID
    user_id: UUID
    timestamp: datetime
    config: PortfolioConfig

    @property
    def execution_id(self) -> UUID:
        """The id of the execution that this approval starts, whenever and however often it comes."""
        return uuid5(EXECUTION_NAMESPACE, f"{self.strategy_id}\x1f{self.timestamp.isoformat()}")


def is_crypto(symbol: str) -> bool:
    """Whether a symbol is traded in fractions: the pairs with a slash are, like BTC/USD."""
    return "/" in symbol
