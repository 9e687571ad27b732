"""What the paper gateway can be told when it starts."""

import math
from dataclasses import dataclass, field
from decimal import Decimal

from models.errors import ConfigError

BASIS_POINTS = 10_000  # in one


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Things that go wrong on purpose with POST /internal/execute, so that a worker can be tried.

    In this order: every request waits `delay_seconds`; a share `fail_rate` of them is answered with 500
    and not executed; of those executed for the first time a share `drop_rate` gets no answer, the
    connection is closed instead. A repeated request is never dropped, so that with `drop_rate=1` each
    signal loses exactly its first answer. `seed` makes the choice repeatable.
    """

    fail_rate: float = 0.0
    delay_seconds: float = 0.0
    drop_rate: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("fail_rate", "drop_rate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name.replace('_', ' ')} must be from 0 to 1")
        if not 0.0 <= self.delay_seconds < math.inf:
            raise ConfigError("the delay must be seconds, 0 or more")


@dataclass(frozen=True, kw_only=True)
class PaperGatewayOptions:
    """Credentials, costs and faults of a paper gateway.

    `token` and `hmac_secret` are checked when they are set. `slippage_bps` moves every fill against the
    trader, `fee_bps` is charged on its value; both are basis points. Raises ConfigError for a value out
    of range.
    """

    token: str | None = field(default=None, repr=False)
    hmac_secret: str | None = field(default=None, repr=False)
    fee_bps: Decimal = Decimal(0)
    slippage_bps: Decimal = Decimal(0)
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        for name, bps in (("fee", self.fee_bps), ("slippage", self.slippage_bps)):
            if not (bps.is_finite() and 0 <= bps < BASIS_POINTS):
                raise ConfigError(f"the {name} must be basis points from 0 to below {BASIS_POINTS}")
