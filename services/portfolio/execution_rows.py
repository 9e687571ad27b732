"""Executions and their orders as rows, and back."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from models.portfolio import Ledger, decimal_of
from models.portfolio_execution import Execution, ExecutionOrder, ExecutionState, ExecutionStatus, OrderStatus
from services.portfolio.approval import read_config
from services.portfolio.events import encode_positions
from services.portfolio.ledger import replayed
from services.portfolio.position_monitor import Snapshot

Row = dict[str, Any]


def execution_values(snapshot: Snapshot) -> Row:
    """Return what is written of an execution, by the names of the columns."""
    execution, value, trades = snapshot.execution, snapshot.value, snapshot.execution.ledger.trades
    return {
        "execution_id": str(execution.execution_id),
        "status": execution.status.value,
        "reason": execution.reason,
        "state": msgspec.json.encode(execution.state).decode(),
        "positions": encode_positions(value),
        "total_pnl": value.total_pnl,
        "realized_pnl": value.realised_pnl,
        "unrealized_pnl": value.unrealised_pnl,
        "fees": value.fees,
        "total_trades": trades.total,
        "winning_trades": trades.winning,
        "losing_trades": trades.losing,
        "total_exposure": value.exposure,
        "daily_pnl": snapshot.day.pnl,
        "stopped_at": execution.stopped_at,
        "last_rebalanced_at": execution.rebalanced_at,
        "last_checked_at": snapshot.at,
    }


def order_values(order: ExecutionOrder) -> Row:
    """Return what is written of an order, by the names of the columns."""
    return {
        "order_id": str(order.order_id),
        "execution_id": str(order.execution_id),
        "cycle": order.cycle,
        "ordinal": order.ordinal,
        "oms_order_id": order.oms_order_id,
        "symbol": order.symbol,
        "side": order.side,
        "order_type": order.order_type,
        "quantity": order.quantity,
        "price": order.price,
        "filled_quantity": order.filled_quantity,
        "filled_price": order.filled_price,
        "fee": order.fee,
        "status": order.status.value,
        "error_message": order.error_message,
        "reason": order.reason,
        "decided_at": order.decided_at,
        "submitted_at": order.decided_at,
        "filled_at": order.finished_at if order.filled_quantity else None,
        "cancelled_at": order.finished_at if order.status is OrderStatus.CANCELLED else None,
        "fill_number": order.fill_number,
    }


def read_execution(row: Row, orders: Iterable[Row], now: datetime) -> Execution:
    """Return the execution of a row, its books replayed from the fills of its orders, in their order."""
    known = [_read_order(each) for each in orders]
    config = read_config(row["config"])
    filled = sorted((each for each in known if each.fill_number), key=lambda each: each.fill_number or 0)
    fills = [each.fill for each in filled if each.fill is not None]
    return Execution(
        execution_id=UUID(row["execution_id"]),
        strategy_id=UUID(row["strategy_id"]),
        user_id=UUID(row["user_id"]),
        approved_at=row["approved_at"],
        config=config,
        ledger=_marked(replayed(config.initial_capital, fills), row["positions"]),
        started_at=row["started_at"],
        watched_since=now,
        status=ExecutionStatus(row["status"]),
        reason=row["reason"],
        state=msgspec.convert(row["state"], ExecutionState),
        open_orders={each.order_id: each for each in known if not each.status.final},
        rebalanced_at=row["last_rebalanced_at"],
        stopped_at=row["stopped_at"],
    )


def _marked(ledger: Ledger, positions: Mapping[str, Mapping[str, Any]]) -> Ledger:
    """Value what is held as it was last: until prices come again those of the fills may be of long ago."""
    return replace(
        ledger,
        holdings={
            symbol: replace(each, last_price=decimal_of(positions[symbol]["price"]))
            if symbol in positions
            else each
            for symbol, each in ledger.holdings.items()
        },
    )


def _read_order(row: Row) -> ExecutionOrder:
    return ExecutionOrder(
        order_id=UUID(row["order_id"]),
        execution_id=UUID(row["execution_id"]),
        cycle=row["cycle"],
        ordinal=row["ordinal"],
        symbol=row["symbol"],
        side=row["side"],
        order_type=row["order_type"],
        quantity=row["quantity"],
        price=row["price"],
        reason=row["reason"],
        decided_at=row["decided_at"],
        status=OrderStatus(row["status"]),
        filled_quantity=row["filled_quantity"],
        filled_price=row["filled_price"],
        fee=row["fee"],
        oms_order_id=row["oms_order_id"],
        error_message=row["error_message"],
        finished_at=row["filled_at"] or row["cancelled_at"],
        fill_number=row["fill_number"],
    )
