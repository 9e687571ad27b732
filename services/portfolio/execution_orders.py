"""Orders of executions on their way out: as signals, under their own ids, given again after a crash."""

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from models.execution import ExecutionReport
from models.portfolio_execution import Execution, ExecutionOrder
from models.signal import Signal
from services.portfolio.progress import NO_NEWS, unsent

if TYPE_CHECKING:
    from uuid import UUID

Submit = Callable[[Signal, float, str | None], str | None]


class OrderDispatch:
    """Gives orders to the outbox, and knows which ones this process has given.

    `ttl_seconds` is how long an order may be on its way: one that was never given by then is too old.
    """

    def __init__(self, submit: Submit, ttl_seconds: float) -> None:
        self.submitted = 0
        self._submit = submit
        self._ttl_seconds = ttl_seconds
        self._given: set[UUID] = set()

    def give(self, execution: Execution, orders: Iterable[ExecutionOrder]) -> list[ExecutionReport]:
        """Put orders into the outbox; return the reports of those that it refuses."""
        refused = []
        for order in orders:
            refusal = self._submit(signal_of(execution, order), time.monotonic(), None)
            if refusal is None or refusal in NO_NEWS:
                self._given.add(order.order_id)
                self.submitted += refusal is None
            else:
                refused.append(unsent(order, "refused", refusal))
        return refused

    def missing(
        self, execution: Execution, known: dict[str, ExecutionReport | None], now: datetime
    ) -> list[ExecutionReport]:
        """Compare open orders with what the outbox's table knows; return the reports that nobody brought.

        An order that the table does not know was never sent: it is given now, or reported expired.
        """
        found = []
        for order in execution.open_orders.values():
            if (report := known.get(str(order.order_id))) is not None:
                found.append(report)
            elif str(order.order_id) in known or order.order_id in self._given:
                continue  # on its way: its end will be told
            elif (now - order.decided_at).total_seconds() < self._ttl_seconds:
                found += self.give(execution, [order])
            else:
                found.append(unsent(order, "expired", "not_sent_in_time"))
        return found

    def ended(self, orders: Iterable[ExecutionOrder]) -> None:
        """Forget orders that are no more on their way."""
        self._given.difference_update(order.order_id for order in orders if order.status.final)


def signal_of(execution: Execution, order: ExecutionOrder) -> Signal:
    """Return the signal of an order: of the same order always the same, to the last byte."""
    return Signal(
        action=order.side,
        price=float(order.price),
        quantity=float(order.quantity),
        metadata={
            "executionId": execution.key,
            "cycle": order.cycle,
            "reason": order.reason,
            "orderType": order.order_type,
        },
        signal_id=str(order.order_id),
        session_key=execution.key,
        session_id=execution.key,
        strategy_id=str(execution.strategy_id),
        symbol=order.symbol,
        timestamp=order.decided_at,
    )
