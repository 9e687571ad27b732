"""Decides what is said of an order, one thing after the other, from the order, the price and the rules."""

import math
from typing import TYPE_CHECKING

from msgspec import Struct

from services.oms.options import Rules
from services.oms.protocol import BUY, LIMIT, OrderStatus

if TYPE_CHECKING:
    from services.oms.protocol import OrderRequest


class Step(Struct, frozen=True):
    """One thing to say of an order: `filled` units in all until now, at `price`."""

    status: OrderStatus
    filled: int = 0
    price: float = 0.0
    message: str = ""

    @property
    def is_fill(self) -> bool:
        """Whether something is bought or sold with it."""
        return self.status in {OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED}


def plan(order: "OrderRequest", price: float | None, rules: Rules) -> list[Step]:
    """Return what will be said of an order when `price` is the last price of its symbol; None is no price."""
    refusal = _refusal(order, price, rules)
    if price is None or refusal is not None:
        return [Step(OrderStatus.REJECTED, message=refusal or "no_price")]
    steps = [Step(OrderStatus.PENDING), Step(OrderStatus.ACCEPTED)]
    if _out_of_reach(order, price):
        return [*steps, Step(OrderStatus.CANCELLED, message=f"limit_not_reached: the price is {price:g}")]
    available = min(order.quantity, rules.fill_at_most if rules.fill_at_most is not None else order.quantity)
    amounts = [available * part // rules.fill_parts for part in range(1, rules.fill_parts + 1)]
    parts = sorted(set(amounts) - {0, order.quantity})
    steps += [Step(OrderStatus.PARTIALLY_FILLED, amount, price) for amount in parts]
    if available == order.quantity:
        return [*steps, Step(OrderStatus.FILLED, available, price)]
    said = price if available else 0.0
    return [*steps, Step(OrderStatus.CANCELLED, available, said, "no more to be had")]


def _refusal(order: "OrderRequest", price: float | None, rules: Rules) -> str | None:
    """Return the first reason to refuse an order."""
    most = rules.reject_over_quantity
    reasons = {
        "missing_id": not order.id,
        "bad_quantity": order.quantity < 1,
        "bad_price": order.type == LIMIT and not 0 < order.price < math.inf,
        "unknown_symbol": bool(rules.symbols) and order.symbol not in rules.symbols,
        "quantity_over_limit": most is not None and order.quantity > most,
        "no_price": price is None or not 0 < price < math.inf,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _out_of_reach(order: "OrderRequest", price: float) -> bool:
    """Whether the limit of an order forbids to fill it at this price: it is cancelled, it does not wait."""
    if order.type != LIMIT:
        return False
    return price > order.price if order.side == BUY else price < order.price
