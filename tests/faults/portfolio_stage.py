"""One approved portfolio on a stage, read from outside, and its worker killed at a step."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from uuid import uuid4

from tests.acceptance.conftest import trade
from tests.faults.databases import cursor_of, signal_statuses
from tests.faults.result import Result, Tally
from tests.faults.stage import Stage
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


def killed_at(stage: Stage, step: AbstractContextManager[None]) -> float:
    """Kill the worker at a step, and start the next one; return when it was killed, in monotonic seconds."""
    with step:
        killed = time.monotonic()
        stage.kill_worker()
    stage.start_worker()
    return killed


def expect_all_executed(stage: Stage, decided: Sequence[str], result: Result) -> None:
    """Expect every order that was decided to have been executed, once."""
    statuses = signal_statuses(stage.database_url)
    result.expect_nothing_lost(Tally.of(decided, stage.gateway.executions, statuses))
    result.expect(result.tally.executed == len(decided), "an order was not executed")
    result.figures["repeated posts"] = stage.gateway.repeats


def _orders(side: str, reason: str) -> str:
    wanted = {"side": side, "reason": reason}
    return "".join(f"AND {column} = '{value}' " for column, value in wanted.items() if value)
