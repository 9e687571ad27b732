"""What is told about executions, as it is written to the streams. Pure: values in, messages out."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from models.execution_plan import EXECUTION_NAMESPACE
from models.portfolio import Valuation, booked
from models.portfolio_execution import Execution, ExecutionOrder
from services.intake.messages import Message
from services.intake.refusals import PORTFOLIO_ERRORS, Refusal
from services.portfolio.position_monitor import Snapshot

EXECUTION_TOPIC = "strategy.execution"
POSITIONS_TOPIC = "strategy.positions"
ERRORS_TOPIC = PORTFOLIO_ERRORS

Happening = Literal["started", "rebalanced", "stop_loss", "paused", "stopped", "error"]

_encode = msgspec.json.Encoder(decimal_format="number").encode


class ExecutionEvent(Struct, frozen=True, kw_only=True):
    """One message to be published; `event_id` is in its payload too, so that readers know it again."""

    event_id: UUID
    execution_id: UUID | None
    topic: str
    payload: str


def happened(
    execution: Execution, what: Happening, at: datetime, orders: Sequence[ExecutionOrder] = ()
) -> ExecutionEvent:
    """Tell that an execution was started, rebalanced and so on; with the orders that were given for it."""
    name = "initial_orders" if what == "started" else "orders"
    given = {name: [_order(order) for order in orders]} if orders else {}
    body = {"status": execution.status, "reason": execution.reason, "cycle": execution.state.cycle, **given}
    return _event(execution, EXECUTION_TOPIC, f"{EXECUTION_TOPIC}.{what}", at, body)


def positions(snapshot: Snapshot) -> ExecutionEvent:
    """Tell what an execution holds and is worth."""
    execution, value = snapshot.execution, snapshot.value
    body = {
        "status": execution.status,
        "positions": describe_positions(value),
        "cash": plain(execution.ledger.cash),
        "total_value": plain(value.equity),
        "total_exposure": plain(value.exposure),
        "total_pnl": plain(value.total_pnl),
        "realized_pnl": plain(value.realised_pnl),
        "unrealized_pnl": plain(value.unrealised_pnl),
        "daily_pnl": plain(snapshot.day.pnl),
        "fees": plain(value.fees),
    }
    return _event(execution, POSITIONS_TOPIC, POSITIONS_TOPIC, snapshot.at, body)


def refused(message: Message, reason: str, problems: Sequence[str]) -> ExecutionEvent:
    """Tell why an approval started nothing, and what it was; the same message under the same id.

    The form is that of every refusal, so that it can be listed and replayed; `problems` stands beside it.
    """
    event_id = uuid5(EXECUTION_NAMESPACE, f"refused\x1f{message.place}\x1f{reason}")
    refusal = msgspec.to_builtins(Refusal.of(message, reason, "; ".join(problems) or reason))
    body = {"type": "strategy.error", "event_id": event_id, **refusal, "problems": list(problems)}
    return ExecutionEvent(event_id=event_id, execution_id=None, topic=ERRORS_TOPIC, payload=_encoded(body))


def describe_positions(value: Valuation) -> dict[str, dict[str, Decimal]]:
    """Return positions as they are shown and stored, by symbol."""
    return {
        symbol: {
            "quantity": plain(held.quantity),
            "average_price": plain(held.average_price),
            "price": plain(held.price),
            "value": plain(held.value),
            "unrealized_pnl": plain(held.unrealised_pnl),
            "weight": plain(held.weight),
        }
        for symbol, held in value.positions.items()
    }


def encode_positions(value: Valuation) -> str:
    """Return positions as JSON."""
    return _encoded(describe_positions(value))


def plain(amount: Decimal) -> Decimal:
    """Return an amount without the zeros behind it, and without an exponent: 100 and not 1E+2."""
    short = amount.normalize()
    return short.quantize(Decimal(1)) if short == short.to_integral_value() else short


def _order(order: ExecutionOrder) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "symbol": order.symbol,
        "side": order.side,
        "quantity": plain(order.quantity),
        "price": plain(order.price),
        "value": plain(booked(order.quantity * order.price)),
    }


def _event(execution: Execution, topic: str, kind: str, at: datetime, body: dict[str, Any]) -> ExecutionEvent:
    event_id = uuid5(EXECUTION_NAMESPACE, f"{execution.execution_id}\x1f{kind}\x1f{at.isoformat()}")
    head = {
        "type": kind,
        "event_id": event_id,
        "execution_id": execution.execution_id,
        "strategy_id": execution.strategy_id,
        "user_id": execution.user_id,
        "timestamp": _time(at),
    }
    return ExecutionEvent(
        event_id=event_id, execution_id=execution.execution_id, topic=topic, payload=_encoded(head | body)
    )


def _encoded(body: dict[str, Any]) -> str:
    return _encode(body).decode()


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
