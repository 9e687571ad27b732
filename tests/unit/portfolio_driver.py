"""Runs an execution without threads or servers: orders are filled at their prices, unless told otherwise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from models.execution import ExecutionReport
from models.portfolio import Fill, PositionValue, Valuation
from models.portfolio_execution import Execution, ExecutionOrder
from services.portfolio.decisions import Decision, Ending, Market, Plan, Policy, decide
from services.portfolio.ledger import valued
from services.portfolio.progress import begun, candidates, ended, ordered, reported
from tests.sample_approvals import approval

START = datetime(2026, 1, 28, 14, 30, tzinfo=UTC)
RETRY = 30.0


def falls_by(held: PositionValue, share: float) -> bool:
    return held.price <= held.average_price * (1 - Decimal(str(share)))


def policy(**changed: Any) -> Policy:
    return Policy(
        **{
            "stops_out": falls_by,
            "max_position": Decimal("0.5"),
            "rebalance_drift": Decimal("0.05"),
            **changed,
        }
    )


def report(order: ExecutionOrder, **changed: Any) -> ExecutionReport:
    return ExecutionReport(
        **{
            "signal_id": str(order.order_id),
            "symbol": order.symbol,
            "action": order.side,
            "quantity": float(order.quantity),
            "status": "filled",
            "filled_quantity": float(order.quantity),
            "filled_price": float(order.price),
            **changed,
        }
    )


@dataclass
class Driver:
    """One execution and its market; `now` moves only when a test moves it."""

    execution: Execution
    policy: Policy = field(default_factory=policy)
    prices: dict[str, Decimal] = field(default_factory=dict)
    closes: dict[str, list[float]] = field(default_factory=dict)
    now: datetime = START
    fills: list[Fill] = field(default_factory=list)
    given: list[ExecutionOrder] = field(default_factory=list)
    allows: Callable[[ExecutionOrder], ExecutionOrder | None] = field(default=lambda order: order)
    answer: Callable[[ExecutionOrder], ExecutionReport] = report

    @classmethod
    def of(cls, policy_: Policy | None = None, **config: Any) -> "Driver":
        """An execution of the contract's example, without entry rules and with other values as given."""
        limits = {"max_position_size": 0.5, "stop_loss_pct": 0.05}
        plan = approval(**{"risk_params": limits, **config})
        return cls(begun(plan, START), policy_ or policy())

    def see(self, **prices: float) -> None:
        """Take new prices."""
        self.prices |= {symbol: Decimal(str(price)) for symbol, price in prices.items()}

    def after(self, seconds: float) -> "Driver":
        self.now += timedelta(seconds=seconds)
        return self

    def decide(self) -> Decision:
        return decide(
            self.execution, Market(now=self.now, prices=self.prices, closes=self.closes), self.policy
        )

    def give(self) -> tuple[ExecutionOrder, ...]:
        """Decide, and give the orders; they stay open."""
        match self.decide():
            case Plan() as plan:
                wanted = candidates(self.execution, plan, self.now)
                orders = tuple(order for each in wanted if (order := self.allows(each)) is not None)
                self.execution = ordered(self.execution, plan, orders, self.now, RETRY)
                self.given += orders
                return orders
            case Ending() as ending:
                self.execution = ended(self.execution, ending, self.now)
        return ()

    def tell(self, told: ExecutionReport) -> None:
        """Take a report."""
        self.execution, orders = reported(self.execution, told, self.now, self.policy)
        self.fills += [order.fill for order in orders if order.fill is not None]

    def settle(self) -> list[ExecutionOrder]:
        """Go on until nothing is left to do; return the orders that were given."""
        first = len(self.given)
        while True:
            before = self.execution
            for order in self.give():
                self.tell(self.answer(order))
            if self.execution == before:
                return self.given[first:]

    @property
    def value(self) -> Valuation:
        return valued(self.execution.ledger, self.prices)

    def held(self) -> Mapping[str, Decimal]:
        return {symbol: each.quantity for symbol, each in self.execution.ledger.holdings.items()}
