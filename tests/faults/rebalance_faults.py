"""kill -9 of the worker at every step of a rebalancing, from the decision to sell to the last buy."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Event

from tests.faults.experiment import Terms
from tests.faults.hindrances import executed_and_silent, failing, locked
from tests.faults.portfolio_stage import (
    SECONDS,
    SETTINGS,
    SYMBOLS,
    Portfolio,
    expect_all_executed,
    killed_at,
)
from tests.faults.result import Result
from tests.faults.stage import open_stage
from tests.gateway_stub import Answer, Received

RISEN = 150.25
CAPITAL, SHARE = Decimal(100_000), Decimal("0.2")
# Two of buying in, one of selling, one of buying.
ORDERS = 2 + 1 + 1
REBALANCE_SECONDS = 1
FURTHER_SECONDS = 2.5 * REBALANCE_SECONDS


@dataclass
class Rebalanced(Portfolio):
    """A portfolio whose first symbol rises until it is sold in part, and more of the second one is bought."""

    sale_may_be_told: Event = field(default_factory=Event)

    def buy_in(self) -> None:
        """Have it approved and bought."""
        self.approve()
        self.see(self.has_bought)

    def rise(self) -> None:
        """Have a price rise far enough for the next rebalancing."""
        self.prices[SYMBOLS[0]] = RISEN

    def sold(self) -> int:
        """How many sales of the rebalancing were executed."""
        return self.executions("SELL", "rebalance")

    def is_rebalanced(self) -> bool:
        """Whether it has sold and bought, and nothing is under way."""
        ended = ["FILLED"]
        return self.statuses("SELL", "rebalance") == ended == self.statuses("BUY", "rebalance")

    def watch_for(self, seconds: float) -> None:
        """Let prices flow by, and time pass in which it might order more."""
        until = time.monotonic() + seconds
        self.see(lambda: time.monotonic() > until)

    def farthest(self) -> Decimal:
        """How many shares the symbol that is farthest from its target is away from it."""
        cash, held = CAPITAL, dict.fromkeys(SYMBOLS, Decimal(0))
        for symbol, side, quantity, price in self._fills():
            signed = quantity if side == "BUY" else -quantity
            held[symbol] += signed
            cash -= signed * price
        prices = {symbol: Decimal(str(price)) for symbol, price in self.prices.items()}
        equity = cash + sum(held[symbol] * prices[symbol] for symbol in SYMBOLS)
        return max(abs(held[symbol] - equity * SHARE / prices[symbol]) for symbol in SYMBOLS)

    def hold_back(self, received: Received) -> Answer | None:
        """Execute a sale, and tell of it only once that is allowed."""
        if received.method == "GET" or received.json["action"] != "SELL":
            return None
        answer = self.stage.gateway.execute(received)
        self.sale_may_be_told.wait(SECONDS)
        return answer

    def _fills(self) -> list[tuple[str, str, Decimal, Decimal]]:
        columns = "symbol, side, filled_quantity, filled_price"
        return self.rows(columns, "execution_orders", "AND filled_quantity > 0")  # type: ignore[return-value]


Step = Callable[[Rebalanced], AbstractContextManager[None]]
"""Brings a rebalancing to a step; the block kills the worker; the end clears the way."""


@contextmanager
def sale_ordered(portfolio: Rebalanced) -> Iterator[None]:
    """The sale written, and not yet in the outbox."""
    with locked(portfolio.stage, "signals"):
        portfolio.rise()
        portfolio.see(lambda: portfolio.ids("SELL"))
        yield


@contextmanager
def sale_executed(portfolio: Rebalanced) -> Iterator[None]:
    """The sale executed, and nobody told of it."""
    with failing(portfolio.stage, executed_and_silent(portfolio.stage)):
        portfolio.rise()
        portfolio.see(portfolio.sold)
        yield


@contextmanager
def sale_answered(portfolio: Rebalanced) -> Iterator[None]:
    """The sale executed and answered, and not yet booked."""
    worker = portfolio.stage.worker
    told = worker.metric("worker_signals_total", "executed")
    with failing(portfolio.stage, portfolio.hold_back):
        portfolio.rise()
        portfolio.see(portfolio.sold)
        with locked(portfolio.stage, "execution_orders"):
            portfolio.sale_may_be_told.set()
            portfolio.see(lambda: worker.metric("worker_signals_total", "executed") == told + 1)
            yield


@contextmanager
def buy_ordered(portfolio: Rebalanced) -> Iterator[None]:
    """The sale booked, the buy written, and not yet in the outbox."""
    with failing(portfolio.stage, portfolio.hold_back):
        portfolio.rise()
        portfolio.see(portfolio.sold)
        with locked(portfolio.stage, "signals"):
            portfolio.sale_may_be_told.set()
            portfolio.see(lambda: portfolio.ids("BUY", "rebalance"))
            yield


@contextmanager
def buy_executed(portfolio: Rebalanced) -> Iterator[None]:
    """The buy executed, and nobody told of it."""
    with failing(portfolio.stage, executed_and_silent(portfolio.stage, "BUY")):
        portfolio.rise()
        portfolio.see(lambda: portfolio.executions("BUY", "rebalance"))
        yield


STEPS: tuple[Step, ...] = (sale_ordered, sale_executed, sale_answered, buy_ordered, buy_executed)
QUICK_STEPS: tuple[Step, ...] = (sale_answered, buy_ordered)


@dataclass(frozen=True)
class KillRebalancing:
    """Kills the worker at each step of a rebalancing, each of a portfolio of its own."""

    name: str
    promise: str
    idempotent: bool
    rounds: int = 5

    def run(self, terms: Terms) -> Result:
        """Kill at every step in every round; in the end all is executed, once, and every share on target."""
        result = Result(self.name, self.promise, terms.rounds)
        settings = SETTINGS | {"REBALANCE_SECONDS": str(REBALANCE_SECONDS), "RISK_MIN_ORDER": "1"}
        with open_stage(terms.databases.new(), settings, idempotent=self.idempotent) as stage:
            decided: list[str] = []
            for step in (QUICK_STEPS if terms.quick else STEPS) * terms.rounds:
                portfolio = Rebalanced(stage)
                portfolio.buy_in()
                killed = killed_at(stage, step(portfolio))
                portfolio.see(portfolio.is_rebalanced)
                result.recover.append(time.monotonic() - killed)
                portfolio.watch_for(FURTHER_SECONDS)
                orders, away = len(portfolio.ids()), portfolio.farthest()
                result.expect(orders == ORDERS, f"{step.__name__}: {orders} orders")
                result.expect(away < 1, f"{step.__name__}: {away} shares away from the target")
                portfolio.stop()
                portfolio.see(portfolio.has_sold)
                decided += portfolio.ids()
            expect_all_executed(stage, decided, result)
        return result


PROMISE = "A portfolio killed while it rebalances sells and buys once, and ends on its targets"
EXPERIMENTS = (
    KillRebalancing("rebalance-kill", f"{PROMISE}, by reading back.", idempotent=False),
    KillRebalancing("rebalance-kill-idempotent", f"{PROMISE}, by its ids.", idempotent=True),
)
