"""What became of a signal, as the gateway reported it."""

from typing import Literal

from msgspec import Struct

from models.signal import Action

ReportStatus = Literal["filled", "accepted", "rejected", "expired", "unknown", "refused"]


class PartialFill(Struct, frozen=True, kw_only=True):
    """What was filled of an order that goes on: `filled_quantity` in all until now, at that average price.

    It is news, and not booked: the report at the end says the same, and more.
    """

    signal_id: str
    filled_quantity: float
    filled_price: float


class ExecutionReport(Struct, frozen=True, kw_only=True):
    """The outcome of one signal, as `on_execution` receives it.

    `status` is `filled` or `accepted` when the gateway executed it. Otherwise nothing was filled and
    `reason` says why: `rejected` by the gateway, `refused` by the worker before sending, `expired`
    without ever being sent, or `unknown` when no answer could be had. `filled_price` is in the quote
    currency; `balance` is the account's cash afterwards and `fee` what was charged beside the price, where
    the gateway tells them.

    A strategy that decides again what it decided before a restart is told what became of it then: with
    `told_before`, and nothing is booked, because the restored position holds that answer already.
    """

    signal_id: str
    symbol: str
    action: Action
    quantity: float
    status: ReportStatus
    order_id: str | None = None
    filled_quantity: float = 0.0
    filled_price: float | None = None
    balance: float | None = None
    reason: str | None = None
    fee: float = 0.0
    told_before: bool = False

    @property
    def executed(self) -> bool:
        """Whether the gateway took the order."""
        return self.status in {"filled", "accepted"}

    @property
    def identity(self) -> str:
        """What makes this report the same report wherever it is seen again."""
        return f"execution|{self.signal_id}|{self.status}"
