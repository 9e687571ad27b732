"""One approved portfolio on a stage, read from outside, and ways to hold it up at a step."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from tests.acceptance.conftest import trade
from tests.faults.databases import cursor_of
from tests.faults.gateway import Fault
from tests.faults.kill_steps import END_WAITING_WRITERS
from tests.faults.stage import Stage
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
    prices: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SYMBOLS, PRICE))

    def approve(self) -> None:
        """Publish the approval."""
        message = approval_message(entry_rules=None, risk_params=None, allocation=dict.fromkeys(SYMBOLS, 0.2))
        message["strategy_id"] = self.strategy
        self.stage.feed.client.xadd("strategy.approved", {"data": json.dumps(message)})

    def see(self, condition: Callable[[], object], *, prices: bool = True) -> None:
        """Wait until something is true; let prices flow by meanwhile."""

        def holds() -> object:
            for symbol in SYMBOLS if prices else ():
                message = json.dumps({**trade(symbol, 0), "price": self.prices[symbol]})
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

    def statuses(self, side: str, reason: str = "") -> list[object]:
        """The statuses of its orders on one side; with a reason, only those."""
        return [row[0] for row in self.rows("status", "execution_orders", _orders(side, reason))]

    def ids(self, side: str = "", reason: str = "") -> list[str]:
        """The ids of its orders; with a side or a reason, only those."""
        return [str(row[0]) for row in self.rows("order_id", "execution_orders", _orders(side, reason))]

    def executions(self, side: str = "", reason: str = "") -> int:
        """How many of these orders the gateway has executed."""
        return sum(each in self.stage.gateway.executions for each in self.ids(side, reason))

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


def executed_and_silent(stage: Stage) -> Fault:
    """Execute what is asked, and leave whoever asked without an answer."""

    def fault(received: Received) -> Answer | None:
        if received.method == "GET":
            return None
        stage.gateway.execute(received)
        return HANG

    return fault


@contextmanager
def failing(stage: Stage, fault: Fault) -> Iterator[None]:
    """Have the gateway fail so for a while."""
    stage.gateway.fault = fault
    yield
    stage.gateway.fault = None


@contextmanager
def locked(stage: Stage, table: str) -> Iterator[None]:
    """Keep everybody from writing into a table; who waited for that finds its connection ended."""
    with cursor_of(stage.database_url) as cursor:
        cursor.execute(f"BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield
        cursor.execute(END_WAITING_WRITERS)
        cursor.execute("COMMIT")


def _orders(side: str, reason: str) -> str:
    wanted = {"side": side, "reason": reason}
    return "".join(f"AND {column} = '{value}' " for column, value in wanted.items() if value)
