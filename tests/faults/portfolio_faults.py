"""kill -9 of the worker at every step of a portfolio, from its approval to its last sale."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from tests.acceptance.conftest import trade
from tests.faults.databases import cursor_of, signal_statuses
from tests.faults.experiment import Terms
from tests.faults.gateway import Fault
from tests.faults.kill_steps import END_WAITING_WRITERS
from tests.faults.result import Result, Tally
from tests.faults.stage import Stage, open_stage
from tests.gateway_stub import HANG, Answer, Received
from tests.sample_approvals import approval_message
from tests.support import eventually

SYMBOLS = ("AAPL", "MSFT")
PRICE = 100.25
SHARES = 199  # a fifth of 100,000
TOKEN = "of-the-experiment"  # noqa: S105 — nobody else's
SETTINGS = {"GATEWAY_TIMEOUT": "60", "GATEWAY_THREADS": "5", "CONTROL_TOKEN": TOKEN}
SECONDS = 60
LOOK_SECONDS = 0.03  # each look asks the database anew


@dataclass
class Portfolio:
    """One approved portfolio on a stage, and what became of it, read from outside."""

    stage: Stage
    strategy: str = field(default_factory=lambda: str(uuid4()))

    def approve(self) -> None:
        """Publish the approval."""
        message = approval_message(entry_rules=None, risk_params=None, allocation=dict.fromkeys(SYMBOLS, 0.2))
        message["strategy_id"] = self.strategy
        self.stage.feed.client.xadd("strategy.approved", {"data": json.dumps(message)})

    def see(self, condition: Callable[[], object], *, prices: bool = True) -> None:
        """Wait until something is true; let prices flow by meanwhile."""

        def holds() -> object:
            for symbol in SYMBOLS if prices else ():
                message = json.dumps({**trade(symbol, 0), "price": PRICE})
                self.stage.feed.client.publish(f"market_trades:{symbol}", message)
            return condition()

        eventually(holds, SECONDS, pause=LOOK_SECONDS)

    def rows(self, columns: str, table: str, where: str = "") -> list[tuple[object, ...]]:
        """Read rows of this portfolio."""
        with cursor_of(self.stage.database_url) as cursor:
            cursor.execute(
                f"SELECT {columns} FROM {table} WHERE execution_id IN "  # noqa: S608 — names of this file
                f"(SELECT execution_id FROM strategy_executions WHERE strategy_id = %s) {where}",
                (self.strategy,),
            )
            return list(cursor.fetchall())

    def statuses(self, side: str) -> list[object]:
        """The statuses of its orders on one side."""
        return [row[0] for row in self.rows("status", "execution_orders", f"AND side = '{side}'")]

    def ids(self) -> list[str]:
        """The ids of all its orders."""
        return [str(row[0]) for row in self.rows("order_id", "execution_orders")]

    def stop(self) -> None:
        """Have it sell everything."""
        [[key]] = self.rows("execution_id", "strategy_executions")
        told = self.stage.worker.post(f"/executions/{key}/stop", {"Authorization": f"Bearer {TOKEN}"})
        assert told.status_code == 202, told.text

    def has_bought(self) -> bool:
        """Whether both initial orders are filled and booked."""
        booked = self.rows("positions", "strategy_executions")
        return self.statuses("BUY") == ["FILLED"] * 2 and all(len(row[0]) == 2 for row in booked)  # type: ignore[arg-type]

    def has_sold(self) -> bool:
        """Whether it is stopped, and holds nothing."""
        return self.rows("status, positions", "strategy_executions") == [("stopped", {})]


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
    with _locked(portfolio.stage, "signals"):
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
    with _failing(portfolio.stage, lambda received: HANG if received.method == "POST" else None):
        portfolio.approve()
        portfolio.see(lambda: any(each in portfolio.stage.gateway.arrivals for each in portfolio.ids()))
        yield


@contextmanager
def executed(portfolio: Portfolio) -> Iterator[None]:
    """The first order was executed, and nobody was told; the others wait behind it."""
    with _failing(portfolio.stage, _executed_and_silent(portfolio.stage)):
        portfolio.approve()
        portfolio.see(lambda: _executions(portfolio) > 0)
        yield


@contextmanager
def answered(portfolio: Portfolio) -> Iterator[None]:
    """Executed and answered, and not yet booked."""
    stage, told = portfolio.stage, portfolio.stage.worker.metric("worker_signals_total", "executed")

    def fault(received: Received) -> Answer | None:
        if received.method == "GET":
            return None
        return Answer(201, stage.gateway.execute(received).body, delay=0.5)

    with _failing(stage, fault):
        portfolio.approve()
        portfolio.see(lambda: len(portfolio.ids()) == len(SYMBOLS))
        with _locked(stage, "execution_orders"):
            portfolio.see(
                lambda: stage.worker.metric("worker_signals_total", "executed") == told + len(SYMBOLS)
            )
            yield


@contextmanager
def selling(portfolio: Portfolio) -> Iterator[None]:
    """Told to stop, and its first sale executed without anybody being told."""
    portfolio.approve()
    portfolio.see(portfolio.has_bought)
    with _failing(portfolio.stage, _executed_and_silent(portfolio.stage)):
        portfolio.stop()
        portfolio.see(lambda: _executions(portfolio) > len(SYMBOLS))
        yield


STEPS: tuple[Step, ...] = (approved, ordered, waiting, posted_and_lost, executed, answered, selling)


@dataclass(frozen=True)
class KillPortfolio:
    """Kills the worker at each step of a portfolio's life, each with a portfolio of its own."""

    name: str
    promise: str
    idempotent: bool
    steps: tuple[Step, ...] = STEPS
    rounds: int = 5

    def run(self, terms: Terms) -> Result:
        """Kill at every step in every round; in the end all orders must be executed, once, and all sold."""
        result = Result(self.name, self.promise, terms.rounds)
        with open_stage(terms.databases.new(), SETTINGS, idempotent=self.idempotent) as stage:
            decided: list[str] = []
            for step in self.steps * terms.rounds:
                portfolio = Portfolio(stage)
                with step(portfolio):
                    killed = time.monotonic()
                    stage.kill_worker()
                stage.start_worker()
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
            statuses = signal_statuses(stage.database_url)
            result.expect_nothing_lost(Tally.of(decided, stage.gateway.executions, statuses))
            result.expect(result.tally.executed == len(decided), "an order was not executed")
            result.figures["repeated posts"] = stage.gateway.repeats
        return result


def _executions(portfolio: Portfolio) -> int:
    return sum(each in portfolio.stage.gateway.executions for each in portfolio.ids())


def _executed_and_silent(stage: Stage) -> Fault:
    def fault(received: Received) -> Answer | None:
        if received.method == "GET":
            return None
        stage.gateway.execute(received)
        return HANG

    return fault


@contextmanager
def _failing(stage: Stage, fault: Fault) -> Iterator[None]:
    stage.gateway.fault = fault
    yield
    stage.gateway.fault = None


@contextmanager
def _locked(stage: Stage, table: str) -> Iterator[None]:
    """Keep everybody from writing into a table; who waited for that finds its connection ended."""
    with cursor_of(stage.database_url) as cursor:
        cursor.execute(f"BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield
        cursor.execute(END_WAITING_WRITERS)
        cursor.execute("COMMIT")


PROMISE = "A portfolio killed at any step orders everything once, and forgets nothing"
EXPERIMENTS = (
    KillPortfolio("portfolio-kill", f"{PROMISE}, by reading back.", idempotent=False),
    KillPortfolio("portfolio-kill-idempotent", f"{PROMISE}, by its ids.", idempotent=True),
)
