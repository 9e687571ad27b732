"""A portfolio execution: where it stands, the orders it gave, and what it is to be."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal
from uuid import UUID, uuid5

from msgspec import Struct

from models.execution_plan import EXECUTION_NAMESPACE, PortfolioConfig
from models.portfolio import ZERO, Fill, Ledger, TradingDay
from models.signal import Action

OrderReason = Literal["initial", "rebalance", "stop_loss", "close"]


class ExecutionStatus(StrEnum):
    """Where an execution stands.

    PAUSED neither enters nor rebalances, but keeps its stop losses. ERROR waits for a person, who resumes or
    stops it. STOPPED closed all it held; COMPLETED has nothing left to do: each symbol met its stop loss.
    """

    ACTIVE = "active"
    PAUSED = "paused"
    STOPPED = "stopped"
    COMPLETED = "completed"
    ERROR = "error"

    @property
    def ended(self) -> bool:
        """Whether nothing will happen any more."""
        return self in {ExecutionStatus.STOPPED, ExecutionStatus.COMPLETED}


class OrderStatus(StrEnum):
    """Where an order stands; the last three are final. One cancelled may have been filled in part."""

    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    REJECTED = "REJECTED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """Whether nothing more will come of the order."""
        return self in {OrderStatus.REJECTED, OrderStatus.FILLED, OrderStatus.CANCELLED}


class ExecutionOrder(Struct, frozen=True, kw_only=True):
    """One order of an execution. `fill_number` says which fill of the execution its own was, from 1."""

    order_id: UUID
    execution_id: UUID
    cycle: int
    ordinal: int
    symbol: str
    side: Action
    quantity: Decimal
    price: Decimal
    reason: OrderReason
    decided_at: datetime
    order_type: Literal["LIMIT", "MARKET"] = "LIMIT"
    status: OrderStatus = OrderStatus.PENDING
    filled_quantity: Decimal = ZERO
    filled_price: Decimal | None = None
    fee: Decimal = ZERO
    oms_order_id: str | None = None
    error_message: str | None = None
    finished_at: datetime | None = None
    fill_number: int | None = None

    @property
    def fill(self) -> Fill | None:
        """What was filled of it, None when nothing was."""
        if self.filled_price is None or not self.filled_quantity:
            return None
        return Fill(
            order_id=str(self.order_id),
            symbol=self.symbol,
            side=self.side,
            quantity=self.filled_quantity,
            price=self.filled_price,
            fee=self.fee,
            filled_at=self.finished_at or self.decided_at,
        )


class ExecutionState(Struct, frozen=True, kw_only=True):
    """What an execution has decided so far, as it is kept with its row.

    `cycle` counts the decisions that gave orders. `entered` are the symbols bought, `left` those closed by a
    stop loss, which are not bought again. `buys_due` is true between the sells and the buys of a
    rebalancing. `closing` is why all is being closed. After an order that failed, positions are closed only
    from `close_after` on, anything else is traded only from `trade_after` on. `reserve` is the share of
    each buy that is kept back for its fee: the highest that was met.
    """

    cycle: int = 0
    entered: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    buys_due: bool = False
    closing: str | None = None
    close_after: datetime | None = None
    trade_after: datetime | None = None
    fills: int = 0
    reserve: Decimal = ZERO
    day: TradingDay | None = None


class Execution(Struct, frozen=True, kw_only=True):
    """An execution as a whole. `watched_since` is when this process began to wait for its prices."""

    execution_id: UUID
    strategy_id: UUID
    user_id: UUID
    approved_at: datetime
    config: PortfolioConfig
    ledger: Ledger
    started_at: datetime
    watched_since: datetime
    status: ExecutionStatus = ExecutionStatus.ACTIVE
    reason: str | None = None
    state: ExecutionState = ExecutionState()
    open_orders: dict[UUID, ExecutionOrder] = {}
    rebalanced_at: datetime | None = None
    stopped_at: datetime | None = None

    @property
    def key(self) -> str:
        """What its signals are known by: their session key."""
        return str(self.execution_id)


def derive_order_id(execution_id: UUID, cycle: int, symbol: str, ordinal: int) -> UUID:
    """Return the id of an order, a version 5 UUID: the same decision is the same order after a crash."""
    return uuid5(EXECUTION_NAMESPACE, f"{execution_id}\x1f{cycle}\x1f{symbol}\x1f{ordinal}")
