"""What a backtest can be told."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import Decimal
from typing import Any, Literal

from models.errors import ConfigError
from models.risk import Limits

BASIS_POINTS = 10_000  # in one
FillRule = Literal["next-open", "close"]

NEXT_OPEN: FillRule = "next-open"
CLOSE: FillRule = "close"


@dataclass(frozen=True, kw_only=True)
class RiskRules:
    """The limits that every signal meets on its way out, as live with RISK_ENABLED.

    `portfolio_value` is what shares of a portfolio are of, `day_start` when a trading day begins (UTC).
    """

    limits: Limits
    portfolio_value: Decimal
    day_start: time
    most_per_second: int


@dataclass(frozen=True, kw_only=True)
class BacktestOptions:
    """How a strategy is played over the past.

    `cash` is what the account begins with. `fill` says where an order is filled: at the open of the symbol's
    next bar, or at the close of the bar that was answered. `slippage_bps` moves every fill against the
    trader, `fee_bps` is charged on its value; both are basis points. `volume_share` is the part of a bar's
    volume that one order may take; the rest of it waits for the next bar. Where it is None, all is filled.

    Bars before `start` are those that a live session would have been told of before its first one: the last
    `warmup_bars` of them warm the strategy up. Without it, the first bar is the first.

    `symbols` are those that have a session, by default all that there are events of; the others are there to
    be watched. `strategy_id`, by default the class's name, `session_id` and `started_at`, by default the time
    of the first event, name the session as live: signals have the ids that they have there.

    A call of the strategy that takes longer than `call_seconds` is interrupted, and the strategy given up, as
    live; so is its making. Only in the main thread of a process that can be done. Without it a call may take
    for ever.

    Raises ConfigError for a value out of range.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    cash: float = 100_000.0
    fill: FillRule = NEXT_OPEN
    fee_bps: float = 0.0
    slippage_bps: float = 0.0
    volume_share: float | None = None
    start: datetime | None = None
    symbols: tuple[str, ...] | None = None
    strategy_id: str | None = None
    session_id: str | None = None
    started_at: datetime | None = None
    risk: RiskRules | None = None
    max_errors: int = 10
    call_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.fill not in {NEXT_OPEN, CLOSE}:
            raise ConfigError(f"fill is {self.fill!r}; it must be {NEXT_OPEN!r} or {CLOSE!r}")
        if not 0.0 < self.cash < math.inf:
            raise ConfigError("cash must be an amount above 0")
        for name, bps in (("fee", self.fee_bps), ("slippage", self.slippage_bps)):
            if not 0.0 <= bps < BASIS_POINTS:
                raise ConfigError(f"the {name} must be basis points from 0 to below {BASIS_POINTS}")
        if self.volume_share is not None and not 0.0 < self.volume_share <= 1.0:
            raise ConfigError("the share of volume must be above 0 and at most 1")
        if self.symbols is not None and not self.symbols:
            raise ConfigError("there is no symbol to play")
        if self.start is not None and self.start.tzinfo is None:
            raise ConfigError("start must have a time zone")
