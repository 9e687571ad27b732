"""One step of one execution: decide, have it reviewed, write it down, and only then let orders go."""

import logging
import time
from collections.abc import Iterable, Mapping

import structlog

from models.execution import ExecutionReport, PartialFill
from models.portfolio_execution import Execution, ExecutionOrder, ExecutionStatus, OrderReason
from services.portfolio.decisions import Ending, Plan, decide
from services.portfolio.events import ExecutionEvent, Happening, happened, positions
from services.portfolio.execution_parts import Command, ExecutorParts
from services.portfolio.progress import (
    CLOSING,
    candidates,
    ended,
    ordered,
    paused,
    progressed,
    reported,
    resumed,
    stopping,
)

log = structlog.get_logger(__name__)


class ExecutionSteps:
    """What the portfolio thread does with one execution at a time; every method returns it as it is then.

    Methods raise StorageUnavailable, which leaves open whether the step was written: read again then.
    """

    def __init__(self, parts: ExecutorParts) -> None:
        self.filled = 0
        self._parts = parts

    def read(self, known: Mapping[str, Execution]) -> list[Execution]:
        """Return the executions of the table that have not ended and are not known; follow their prices."""
        parts = self._parts
        found = parts.table.live(parts.clock(), list(known))
        if found:
            parts.review.recall()
        for execution in found:
            parts.monitor.follow(execution)
            parts.review.begin(execution)
            log.info(
                "execution_adopted",
                execution=execution.key,
                status=execution.status.value,
                open_orders=len(execution.open_orders),
            )
        return found

    def reconcile(self, execution: Execution) -> Execution:
        """Bring the ends of orders that nobody told of, and give those that were never given."""
        parts = self._parts
        known = parts.table.outcomes(list(execution.open_orders))
        for report in parts.dispatch.missing(execution, known, parts.clock()):
            execution = self.report(execution, report)
        return execution

    def step(self, execution: Execution) -> Execution:
        """Do what is to be done now, or take a snapshot if one is due."""
        parts, now = self._parts, self._parts.clock()
        market = parts.monitor.market(execution.config.symbols, now)
        match decide(execution, market, parts.policy):
            case Plan() as plan:
                return self._order(execution, plan)
            case Ending() as ending:
                return self._end(execution, ending)
        if not parts.monitor.snapshot_due(execution, time.monotonic()):
            return execution
        snapshot = parts.monitor.snapshot(execution, now)
        self._save(snapshot.execution, events=[positions(snapshot)], keep=True)
        return snapshot.execution

    def report(self, execution: Execution, report: ExecutionReport) -> Execution:
        """Book the end of an order."""
        parts = self._parts
        changed, orders = reported(execution, report, parts.clock(), parts.policy)
        if changed is execution:
            return execution
        # Again, where the account was opened anew since the signal desk told of it.
        parts.review.settle(report)
        halted = changed.status is not execution.status  # of an order nothing is known
        self._save(changed, orders, [self._happened(changed, "error")] if halted else [])
        parts.dispatch.ended(orders)
        self.filled += sum(order.filled_quantity > 0 for order in orders)
        for order in orders:
            log.info(
                "execution_order_ended",
                execution=execution.key,
                order_id=str(order.order_id),
                status=order.status.value,
                reason=order.error_message,
            )
        return changed

    def filled_in_part(self, execution: Execution, fill: PartialFill) -> Execution:
        """Write down what was filled of an order that goes on."""
        changed, orders = progressed(execution, fill)
        if orders:
            self._save(changed, orders)
        return changed

    def command(self, execution: Execution, command: Command, words: str) -> Execution:
        """Pause, resume or stop; what does not apply changes nothing."""
        parts = self._parts
        orders: tuple[ExecutionOrder, ...] = ()
        match command:
            case "pause":
                changed = paused(execution, words)
            case "stop":
                changed = stopping(execution, words)
            case "resume":
                again = resumed(execution, parts.clock(), parts.policy)
                changed, orders = again or (None, ())
        if changed is None:
            return execution
        log.warning("execution_commanded", execution=execution.key, command=command, words=words)
        if command == "resume":
            parts.resume_lane(execution.key)
            parts.review.resume(changed)
        events = [self._happened(changed, "paused")] if command == "pause" else []
        self._save(changed, orders, events)
        return changed

    def _order(self, execution: Execution, plan: Plan) -> Execution:
        """Write the orders that the risk desk allows together with the decision, then give them away."""
        parts, now = self._parts, self._parts.clock()
        allowed, passes_soon = parts.review.review(execution, candidates(execution, plan, now))
        policy = parts.policy
        is_urgent = plan.reason in CLOSING or passes_soon
        retry = policy.retry_seconds if is_urgent else policy.rebalance_seconds
        changed = ordered(execution, plan, allowed, now, retry)
        what = _happening(plan.reason, changed.state.cycle)
        events = [happened(changed, what, now, allowed)] if allowed and what is not None else []
        try:
            self._save(changed, allowed, events)
        except BaseException:
            parts.review.withdraw(allowed)
            raise
        for report in parts.dispatch.give(changed, allowed):
            changed = self.report(changed, report)
        return changed

    def _end(self, execution: Execution, ending: Ending) -> Execution:
        changed = ended(execution, ending, self._parts.clock())
        is_error = ending.status is ExecutionStatus.ERROR
        self._save(changed, events=[self._happened(changed, "error" if is_error else "stopped")], keep=True)
        log.log(
            logging.ERROR if is_error else logging.INFO,
            "execution_ended",
            execution=execution.key,
            status=ending.status.value,
            reason=ending.reason,
        )
        if changed.status.ended:
            self.forget(changed)
        return changed

    def forget(self, execution: Execution) -> None:
        """Follow and measure an execution no more."""
        self._parts.monitor.forget(execution)
        self._parts.review.end(execution)

    def _happened(self, execution: Execution, what: Happening) -> ExecutionEvent:
        return happened(execution, what, self._parts.clock())

    def _save(
        self,
        execution: Execution,
        orders: Iterable[ExecutionOrder] = (),
        events: Iterable[ExecutionEvent] = (),
        *,
        keep: bool = False,
    ) -> None:
        parts, told = self._parts, list(events)
        snapshot = parts.monitor.snapshot(execution, parts.clock())
        parts.table.save(snapshot, orders, told, keep=keep)
        if told:
            parts.wrote_events()


def _happening(reason: OrderReason, cycle: int) -> Happening | None:
    match reason:
        case "initial":
            return "started" if cycle == 1 else "rebalanced"
        case "rebalance":
            return "rebalanced"
        case "stop_loss":
            return "stop_loss"
    return None
