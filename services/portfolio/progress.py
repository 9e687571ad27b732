"""How an execution goes on: from what it was to what it is after orders, reports and commands. Pure."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

from msgspec.structs import replace

from models.execution import ExecutionReport, PartialFill
from models.execution_plan import Approval
from models.portfolio import ZERO, Fill, TradingDay, booked, decimal_of
from models.portfolio_execution import (
    Execution,
    ExecutionOrder,
    ExecutionState,
    ExecutionStatus,
    OrderReason,
    OrderStatus,
    derive_order_id,
)
from services.portfolio.decisions import Ending, Plan, Policy
from services.portfolio.ledger import after, opened

# A refusal that says nothing about the order: it is on its way already.
NO_NEWS = {"duplicate_signal"}
CLOSING: set[OrderReason] = {"close", "stop_loss"}
NO_FUNDS = "insufficient_funds"
# What is kept back for fees once an order could not be paid for: twice as much each time, up to the second.
FIRST_RESERVE, LARGEST_RESERVE = Decimal("0.001"), Decimal("0.02")


class Progress(NamedTuple):
    """An execution after a step, and the orders that were made or changed by it."""

    execution: Execution
    orders: tuple[ExecutionOrder, ...] = ()


def begun(approval: Approval, now: datetime) -> Execution:
    """Return the execution that an approval starts."""
    ledger = opened(approval.config.initial_capital)
    return Execution(
        execution_id=approval.execution_id,
        strategy_id=approval.strategy_id,
        user_id=approval.user_id,
        approved_at=approval.timestamp,
        config=approval.config,
        ledger=ledger,
        started_at=now,
        watched_since=now,
    )


def candidates(execution: Execution, plan: Plan, now: datetime) -> tuple[ExecutionOrder, ...]:
    """Return the orders of a plan under the ids that they will have, before anybody allowed them."""
    cycle = execution.state.cycle + 1
    return tuple(
        ExecutionOrder(
            order_id=derive_order_id(execution.execution_id, cycle, wish.symbol, ordinal),
            execution_id=execution.execution_id,
            cycle=cycle,
            ordinal=ordinal,
            symbol=wish.symbol,
            side=wish.side,
            order_type="MARKET" if plan.reason in CLOSING else "LIMIT",
            quantity=wish.quantity,
            price=wish.price,
            reason=plan.reason,
            decided_at=now,
        )
        for ordinal, wish in enumerate(plan.wishes)
    )


def ordered(
    execution: Execution, plan: Plan, allowed: Sequence[ExecutionOrder], now: datetime, retry: float
) -> Execution:
    """Give the orders of a plan that were allowed; the others are tried again after `retry` seconds."""
    cycle = execution.state.cycle + (1 if allowed else 0)
    state = replace(plan.state, cycle=cycle)
    if len(allowed) < len(plan.wishes):
        state = _delayed(state, plan.reason, now + timedelta(seconds=retry))
    if plan.reason == "initial":
        state = replace(state, entered=(*state.entered, *(order.symbol for order in allowed)))
    entered_or_rebalanced = plan.reason == "rebalance" or (plan.reason == "initial" and allowed)
    return replace(
        execution,
        state=state,
        open_orders={order.order_id: order for order in allowed},
        rebalanced_at=now if entered_or_rebalanced else execution.rebalanced_at,
    )


def reported(execution: Execution, report: ExecutionReport, now: datetime, policy: Policy) -> Progress:
    """Take the end of an order; what is no order of it, or no end, changes nothing.

    An order of which nothing is known stays open, and the execution waits in ERROR until a person has looked;
    so does one that was accepted and not filled, because nobody tells of its fills later.
    """
    order = next((each for key, each in execution.open_orders.items() if str(key) == report.signal_id), None)
    if order is None or (report.status == "refused" and report.reason in NO_NEWS):
        return Progress(execution)
    if report.status == "unknown":
        return _parked(execution, order, f"unknown: {report.reason}")
    changed = _ended(order, report, now)
    if report.status == "accepted" and changed.status is not OrderStatus.FILLED:
        open_still = replace(changed, status=OrderStatus.ACCEPTED, finished_at=None)
        return _parked(execution, open_still, "accepted and not filled: find out what became of it")
    if report.status == "rejected" and NO_FUNDS in (report.reason or ""):
        execution = _poorer(execution)
    # Whoever looked at an order and does not want it will hardly want it a moment later.
    is_final = report.status == "rejected" and order.reason == "initial"
    retry = policy.rebalance_seconds if is_final else policy.retry_seconds
    return _booked(execution, changed, now, retry)


def progressed(execution: Execution, fill: PartialFill) -> Progress:
    """Show what was filled of an open order until now; less than is shown, or no part of it, changes nothing.

    Nothing is booked: what the report at the end says is.
    """
    order = next((each for key, each in execution.open_orders.items() if str(key) == fill.signal_id), None)
    quantity = decimal_of(fill.filled_quantity)
    if order is None or not order.filled_quantity < quantity < order.quantity:
        return Progress(execution)
    changed = replace(
        order,
        status=OrderStatus.PARTIALLY_FILLED,
        filled_quantity=quantity,
        filled_price=booked(decimal_of(fill.filled_price)),
    )
    open_orders = {**execution.open_orders, order.order_id: changed}
    return Progress(replace(execution, open_orders=open_orders), (changed,))


def ended(execution: Execution, ending: Ending, now: datetime) -> Execution:
    """Return the execution at its end, or halted in ERROR."""
    stopped_at = now if ending.status.ended else None
    return replace(execution, status=ending.status, reason=ending.reason, stopped_at=stopped_at)


def paused(execution: Execution, reason: str = "paused by command") -> Execution | None:
    """Return the execution paused; None where it is not active."""
    if execution.status is not ExecutionStatus.ACTIVE or execution.state.closing is not None:
        return None
    return replace(execution, status=ExecutionStatus.PAUSED, reason=reason)


def resumed(execution: Execution, now: datetime, policy: Policy) -> Progress | None:
    """Return the execution active again, an order that was accepted and not filled taken as cancelled.

    None where it is neither paused nor in error, or while nobody has said what became of an unknown order.
    """
    if not may_resume(execution):
        return None
    state = replace(execution.state, close_after=None, trade_after=None)
    changed = replace(
        execution, status=ExecutionStatus.ACTIVE, reason=state.closing, state=state, watched_since=now
    )
    given_up: list[ExecutionOrder] = []
    for order in execution.open_orders.values():
        if order.status is OrderStatus.ACCEPTED:
            cancelled = replace(order, status=OrderStatus.CANCELLED, finished_at=now)
            changed, orders = _booked(changed, cancelled, now, policy.retry_seconds)
            given_up += orders
    return Progress(changed, tuple(given_up))


def may_resume(execution: Execution) -> bool:
    """Whether a resume applies."""
    orders = execution.open_orders.values()
    is_unknown = any(each.status is not OrderStatus.ACCEPTED and each.error_message for each in orders)
    return execution.status in {ExecutionStatus.PAUSED, ExecutionStatus.ERROR} and not is_unknown


def stopping(execution: Execution, reason: str) -> Execution | None:
    """Return the execution closing all it holds, after which it is stopped; None where it does so already.

    While a person has to find out what became of an order it stays in ERROR, and closes once that is known.
    """
    if execution.status.ended or execution.state.closing is not None:
        return None
    state = replace(execution.state, closing=reason, close_after=None, buys_due=False)
    if any(order.error_message for order in execution.open_orders.values()):
        return replace(execution, state=state)
    return replace(execution, status=ExecutionStatus.ACTIVE, reason=reason, state=state)


def on_day(execution: Execution, today: date, equity: Decimal) -> tuple[Execution, TradingDay]:
    """Return the execution with its day's value, and that day; the first one opens with the capital."""
    capital = execution.ledger.capital
    day = (execution.state.day or TradingDay(today, capital, capital)).at(today, equity)
    return replace(execution, state=replace(execution.state, day=day)), day


def unsent(order: ExecutionOrder, status: Literal["refused", "expired"], reason: str) -> ExecutionReport:
    """Report an order that was never sent, and will not be."""
    return ExecutionReport(
        signal_id=str(order.order_id),
        symbol=order.symbol,
        action=order.side,
        quantity=float(order.quantity),
        status=status,
        reason=reason,
    )


def _delayed(state: ExecutionState, reason: OrderReason, until: datetime) -> ExecutionState:
    """Try again only later; whoever wants to buy and was refused holds up no stop loss."""
    if reason in CLOSING:
        return replace(state, close_after=until)
    return replace(state, trade_after=until)


def _booked(execution: Execution, order: ExecutionOrder, now: datetime, retry: float) -> Progress:
    """Book what was filled of an order that has ended, and forget that it was open."""
    state, ledger = execution.state, execution.ledger
    if order.filled_quantity:
        order = replace(order, fill_number=state.fills + 1)
        state = replace(state, fills=state.fills + 1)
    if (fill := order.fill) is not None:
        ledger = after(ledger, fill)
        state = replace(state, reserve=max(state.reserve, min(_fee_share(fill), LARGEST_RESERVE)))
    if order.status is not OrderStatus.FILLED:
        state = _delayed(state, order.reason, now + timedelta(seconds=retry))
        if order.reason == "initial" and fill is None:  # it is entered another time
            state = replace(state, entered=tuple(each for each in state.entered if each != order.symbol))
    still_open = {key: each for key, each in execution.open_orders.items() if key != order.order_id}
    return Progress(replace(execution, state=state, ledger=ledger, open_orders=still_open), (order,))


def _fee_share(fill: Fill) -> Decimal:
    value = fill.price * fill.quantity
    return booked(fill.fee / value) if value else ZERO


def _poorer(execution: Execution) -> Execution:
    """Keep more back for fees: an order that the cash of the books pays for was too dear."""
    reserve = max(
        execution.state.reserve, min(max(2 * execution.state.reserve, FIRST_RESERVE), LARGEST_RESERVE)
    )
    return replace(execution, state=replace(execution.state, reserve=reserve))


def _parked(execution: Execution, order: ExecutionOrder, why: str) -> Progress:
    told = f"order {order.order_id}: {why}"
    if execution.open_orders[order.order_id].error_message == told:
        return Progress(execution)
    parked = replace(order, error_message=told)
    changed = replace(
        execution,
        status=ExecutionStatus.ERROR,
        reason=told,
        open_orders={**execution.open_orders, order.order_id: parked},
    )
    return Progress(changed, (parked,))


def _ended(order: ExecutionOrder, report: ExecutionReport, now: datetime) -> ExecutionOrder:
    filled = ZERO
    if report.executed and report.filled_price is not None:
        filled = decimal_of(report.filled_quantity)
    status = OrderStatus.FILLED if filled >= order.quantity else OrderStatus.CANCELLED
    if report.status in {"rejected", "refused"}:
        status = OrderStatus.REJECTED
    return replace(
        order,
        status=status,
        filled_quantity=filled,
        filled_price=booked(decimal_of(report.filled_price or 0.0)) if filled else None,
        fee=decimal_of(report.fee) if filled else ZERO,
        oms_order_id=report.order_id,
        error_message=report.reason,
        finished_at=now,
    )
