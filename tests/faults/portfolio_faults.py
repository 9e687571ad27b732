"""kill -9 of the worker at every step of a portfolio, from its approval to its last sale."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.faults.databases import signal_statuses
from tests.faults.experiment import Terms
from tests.faults.hindrances import executed_and_silent, failing, locked
from tests.faults.portfolio_stage import (
    SETTINGS,
    SHARES,
    SYMBOLS,
    Portfolio,
    expect_all_executed,
    killed_at,
)
from tests.faults.result import Result
from tests.faults.stage import open_stage
from tests.gateway_stub import HANG, Answer, Received

Step = Callable[[Portfolio], AbstractContextManager[None]]
"""Brings a portfolio to a step; the block kills the worker; the end clears the way."""


@contextmanager
def approved(portfolio: Portfolio) -> Iterator[None]:
    """Approved, and no price seen yet."""
    portfolio.approve()
    portfolio.see(lambda: portfolio.rows("status", "strategy_executions"), prices=False)
    yield


@contextmanager
def ordered(portfolio: Portfolio) -> Iterator[None]:
    """Its orders written, and not yet in the outbox."""
    with locked(portfolio.stage, "signals"):
        portfolio.approve()
        portfolio.see(lambda: len(portfolio.ids()) == len(SYMBOLS))
        yield


@contextmanager
def waiting(portfolio: Portfolio) -> Iterator[None]:
    """In the outbox, before a request left."""
    portfolio.stage.gateway.go_away()
    portfolio.approve()
    portfolio.see(lambda: set(portfolio.ids()) <= signal_statuses(portfolio.stage.database_url).keys())
    portfolio.see(lambda: len(portfolio.ids()) == len(SYMBOLS))
    yield
    portfolio.stage.gateway.come_back()


@contextmanager
def posted_and_lost(portfolio: Portfolio) -> Iterator[None]:
    """The first request arrived and was forgotten; the others wait behind it."""
    with failing(portfolio.stage, lambda received: HANG if received.method == "POST" else None):
        portfolio.approve()
        portfolio.see(lambda: any(each in portfolio.stage.gateway.arrivals for each in portfolio.ids()))
        yield


@contextmanager
def executed(portfolio: Portfolio) -> Iterator[None]:
    """The first order was executed, and nobody was told; the others wait behind it."""
    with failing(portfolio.stage, executed_and_silent(portfolio.stage)):
        portfolio.approve()
        portfolio.see(lambda: portfolio.executions() > 0)
        yield


@contextmanager
def answered(portfolio: Portfolio) -> Iterator[None]:
    """Executed and answered, and not yet booked."""
    stage, told = portfolio.stage, portfolio.stage.worker.metric("worker_signals_total", "executed")

    def fault(received: Received) -> Answer | None:
        if received.method == "GET":
            return None
        return Answer(201, stage.gateway.execute(received).body, delay=0.5)

    with failing(stage, fault):
        portfolio.approve()
        portfolio.see(lambda: len(portfolio.ids()) == len(SYMBOLS))
        with locked(stage, "execution_orders"):
            portfolio.see(
                lambda: stage.worker.metric("worker_signals_total", "executed") == told + len(SYMBOLS)
            )
            yield


@contextmanager
def selling(portfolio: Portfolio) -> Iterator[None]:
    """Told to stop, and its first sale executed without anybody being told."""
    portfolio.approve()
    portfolio.see(portfolio.has_bought)
    with failing(portfolio.stage, executed_and_silent(portfolio.stage)):
        portfolio.stop()
        portfolio.see(lambda: portfolio.executions() > len(SYMBOLS))
        yield


STEPS: tuple[Step, ...] = (approved, ordered, waiting, posted_and_lost, executed, answered, selling)
QUICK_STEPS: tuple[Step, ...] = (ordered, executed, selling)


@dataclass(frozen=True)
class KillPortfolio:
    """Kills the worker at each step of a portfolio's life, each with a portfolio of its own."""

    name: str
    promise: str
    idempotent: bool
    rounds: int = 5

    def run(self, terms: Terms) -> Result:
        """Kill at every step in every round; in the end all orders must be executed, once, and all sold."""
        result = Result(self.name, self.promise, terms.rounds)
        with open_stage(terms.databases.new(), SETTINGS, idempotent=self.idempotent) as stage:
            decided: list[str] = []
            for step in (QUICK_STEPS if terms.quick else STEPS) * terms.rounds:
                portfolio = Portfolio(stage)
                killed = killed_at(stage, step(portfolio))
                if step is not selling:
                    portfolio.see(portfolio.has_bought)
                    result.recover.append(time.monotonic() - killed)
                    portfolio.stop()
                portfolio.see(portfolio.has_sold)
                orders = portfolio.rows("side, quantity", "execution_orders")
                wrong = [f"{side} {quantity}" for side, quantity in orders if quantity != SHARES]
                result.expect(not wrong, f"{step.__name__}: ordered {', '.join(wrong)}")
                result.expect(len(orders) == 2 * len(SYMBOLS), f"{step.__name__}: {len(orders)} orders")
                decided += portfolio.ids()
            expect_all_executed(stage, decided, result)
        return result


PROMISE = "A portfolio killed at any step orders everything once, and forgets nothing"
EXPERIMENTS = (
    KillPortfolio("portfolio-kill", f"{PROMISE}, by reading back.", idempotent=False),
    KillPortfolio("portfolio-kill-idempotent", f"{PROMISE}, by its ids.", idempotent=True),
)
