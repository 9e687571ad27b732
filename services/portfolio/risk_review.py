"""Every order of an execution goes past the risk desk before it is written down."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

import structlog
from msgspec.structs import replace

from models.execution import ExecutionReport
from models.execution_plan import RiskParams, is_crypto
from models.portfolio import Ledger
from models.portfolio_execution import Execution, ExecutionOrder
from models.risk import Approved, Order, Reduced, Rule, Verdict
from services.portfolio.allocation import tradable

# What these rules refuse is no fault of the order: it may pass a moment later.
PASSING = {Rule.KILL_SWITCH, Rule.MISSING_DATA, Rule.STALE_PRICE, Rule.THROTTLE}

log = structlog.get_logger(__name__)


class RiskGate(Protocol):
    """What is needed of the risk desk, which is the one of services/risk."""

    @property
    def recall(self) -> Callable[[], None]:
        """Finds out how another worker left the accounts that are opened next; raises StorageUnavailable."""

    def open(self, account: str, own: RiskParams, ledger: Ledger, in_flight: Iterable[Order] = ()) -> None:
        """Measure an account from now on."""

    def close(self, account: str) -> None:
        """Measure it no more."""

    def check(self, order: Order, account: str) -> Verdict:
        """Say what may be ordered, and reserve it."""

    def release(self, order_id: str) -> None:
        """Take back the reservation of an order that was never given."""

    def settle(self, report: ExecutionReport) -> None:
        """Take the end of an order."""

    @property
    def mark(self) -> Callable[[str, float, float], None]:
        """Takes a price that flowed by: symbol, price, and when in monotonic seconds. On the data thread."""

    def resume(self, account: str) -> object:
        """Lift the halt of an account."""

    def stopped_out(self, account: str, order: Order, entry: Decimal) -> None:
        """Tell that an order closes a position that has met its stop loss."""


class Review(NamedTuple):
    """The orders that may be given, some of them smaller. `passes_soon`: what was refused may pass soon."""

    allowed: tuple[ExecutionOrder, ...]
    passes_soon: bool


class RiskReview:
    """Executions as the risk desk knows them: each is an account under its own id."""

    def __init__(self, desk: RiskGate) -> None:
        self._desk = desk

    def recall(self) -> None:
        """Find out what another worker knew of executions that begin here next: their days, their halts."""
        self._desk.recall()

    def begin(self, execution: Execution) -> None:
        """Have an execution measured from now on, its open orders counted as on their way."""
        in_flight = [_order(order) for order in execution.open_orders.values()]
        self._desk.open(execution.key, execution.config.risk_params, execution.ledger, in_flight)

    def end(self, execution: Execution) -> None:
        """Have it measured no more."""
        self._desk.close(execution.key)

    def review(self, execution: Execution, wanted: Sequence[ExecutionOrder]) -> Review:
        """Say which orders may be given; those are reserved."""
        found, passes_soon = [], False
        for order in wanted:
            verdict = self._desk.check(_order(order), execution.key)
            match verdict:
                case Approved():
                    found.append(order)
                case Reduced():
                    quantity = tradable(order.symbol, verdict.quantity)
                    log.warning(
                        "order_reduced",
                        execution=execution.key,
                        symbol=order.symbol,
                        rule=verdict.rule.value,
                        wanted=str(order.quantity),
                        quantity=str(quantity),
                    )
                    if quantity:
                        found.append(replace(order, quantity=quantity))
                    else:
                        self._desk.release(str(order.order_id))
                case _:
                    passes_soon |= verdict.rule in PASSING
                    log.warning(
                        "order_refused", execution=execution.key, symbol=order.symbol, reason=verdict.reason
                    )
        self._tell_stop_losses(execution, found)
        return Review(tuple(found), passes_soon)

    def withdraw(self, orders: Iterable[ExecutionOrder]) -> None:
        """Take back what was reserved for orders that could not be written down."""
        for order in orders:
            self._desk.release(str(order.order_id))

    def settle(self, report: ExecutionReport) -> None:
        """Take the end of an order; one that was told of before changes nothing."""
        self._desk.settle(report)

    def resume(self, execution: Execution) -> None:
        """Lift the halt of an execution."""
        self._desk.resume(execution.key)

    def _tell_stop_losses(self, execution: Execution, orders: Iterable[ExecutionOrder]) -> None:
        for order in orders:
            holding = execution.ledger.holdings.get(order.symbol)
            if order.reason == "stop_loss" and holding is not None:
                self._desk.stopped_out(execution.key, _order(order), holding.average_price)


def _order(order: ExecutionOrder) -> Order:
    return Order(
        order_id=str(order.order_id),
        owner=str(order.execution_id),
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        price=order.price,
        asset_type="crypto" if is_crypto(order.symbol) else "stock",
    )
