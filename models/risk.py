"""Verdicts of the risk checks, as values: what may be ordered, why not, and what comes close to a limit.

Money and quantities are Decimal, exact to the last digit; money is in the quote currency. Every limit may be
reached and must not be passed: an order that comes to exactly the limit is approved.
"""

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from models.execution_plan import RiskParams
from models.portfolio import decimal_of
from models.session import AssetType
from models.signal import Action


class Rule(StrEnum):
    """What a verdict, a warning or a risk event is about. The first eight are asked in this order."""

    KILL_SWITCH = "kill_switch"
    MISSING_DATA = "missing_data"
    STALE_PRICE = "stale_price"
    THROTTLE = "throttle"
    ORDER_SIZE = "order_size"
    POSITION_SIZE = "position_size"
    TOTAL_EXPOSURE = "total_exposure"
    DAILY_LOSS = "daily_loss"
    STOP_LOSS = "stop_loss"


class Order(Struct, frozen=True, kw_only=True, gc=False):
    """What somebody wants to order. `order_id` is the id of its signal, `owner` the session key of it.

    `price` is per unit in the quote currency. A position belongs to its owner: an order reduces a position
    only where the same owner holds one on the other side.
    """

    order_id: str
    owner: str
    symbol: str
    side: Action
    quantity: Decimal
    price: Decimal
    asset_type: AssetType = "stock"


class Measure(Struct, frozen=True, gc=False):
    """A value beside the limit of its rule. The unit is the rule's: money, or for the throttle orders."""

    rule: Rule
    value: Decimal
    limit: Decimal


class Approved(Struct, frozen=True, kw_only=True, gc=False):
    """The order may go out as it is; it is reserved now. `warnings` are what it brings near a limit."""

    warnings: tuple[Measure, ...] = ()


class Reduced(Struct, frozen=True, kw_only=True, gc=False):
    """A smaller order may go out: `quantity` of it, which is reserved from now on.

    `value` is what the whole order would have come to, against the `limit` of `rule`; both are None where
    something is missing, so that only the part that closes a position may go out.
    """

    quantity: Decimal
    rule: Rule
    detail: str
    value: Decimal | None = None
    limit: Decimal | None = None
    warnings: tuple[Measure, ...] = ()


class Refused(Struct, frozen=True, kw_only=True, gc=False):
    """Nothing may go out. `value` and `limit` are None where something is missing rather than too much."""

    rule: Rule
    detail: str
    value: Decimal | None = None
    limit: Decimal | None = None

    @property
    def reason(self) -> str:
        """What the signal's report says: `halted: …` for the kill switch, else the rule and its words."""
        return f"halted: {self.detail}" if self.rule is Rule.KILL_SWITCH else f"{self.rule}: {self.detail}"


Verdict = Approved | Reduced | Refused


class Limits(Struct, frozen=True, kw_only=True):
    """The limits of one account. Shares are of 1; `max_exposure` is over all accounts together.

    `stop_loss` is the loss against the entry at which a position is closed, None for never; to it
    `stop_loss_buffer` is added. `price_max_age` is seconds, None where prices do not age (history).
    """

    min_order: Decimal
    max_order: Decimal
    max_position: Decimal
    max_exposure: Decimal
    max_daily_loss: Decimal
    max_daily_loss_amount: Decimal
    stop_loss_buffer: Decimal
    stop_loss: Decimal | None = None
    price_max_age: float | None = None

    def tightened(self, own: RiskParams) -> "Limits":
        """Return these limits with an execution's own where they are tighter; never looser ones."""
        return replace(
            self,
            max_position=_tighter(self.max_position, own.max_position_size),
            max_daily_loss=_tighter(self.max_daily_loss, own.max_daily_loss),
            stop_loss=self._tighter_stop_loss(own.stop_loss_pct),
        )

    def _tighter_stop_loss(self, own: float | None) -> Decimal | None:
        if own is None or self.stop_loss is None:
            return self.stop_loss if own is None else decimal_of(own)
        return _tighter(self.stop_loss, own)


def _tighter(share: Decimal, own: float | None) -> Decimal:
    return share if own is None else min(share, decimal_of(own))
