"""A portfolio executor on a real database, with a gateway and a risk desk that a test decides about."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from threading import Event
from typing import Any

import msgspec
import psycopg2.extras

from models.execution import ExecutionReport
from models.execution_plan import RiskParams
from models.market_data import Trade
from models.portfolio import Ledger
from models.risk import Approved, Order, Verdict
from models.signal import Signal
from services.db_client import Database
from services.intake.messages import Message, Place
from services.portfolio.approval_desk import ApprovalDesk, ApprovalHost
from services.portfolio.decisions import Policy
from services.portfolio.execution_orders import OrderDispatch
from services.portfolio.execution_parts import ExecutorParts
from services.portfolio.execution_table import ExecutionTable
from services.portfolio.executor import PortfolioExecutor
from services.portfolio.position_monitor import PositionMonitor
from services.portfolio.price_feed import PriceFeed
from services.portfolio.risk_review import RiskReview
from services.signals.wire import encode
from tests.integration.durable_outbox import open_connection
from tests.sample_approvals import approval_message
from tests.support import eventually
from tests.unit.portfolio_driver import falls_by

AT = datetime(2026, 1, 28, tzinfo=UTC)


class OpenGate:
    """A risk desk that a test may close: what `verdict` says holds for every order."""

    def __init__(self) -> None:
        self.verdict: Callable[[Order], Verdict] = lambda _: Approved()
        self.accounts: dict[str, int] = {}
        self.reserved: set[str] = set()
        self.ledgers: dict[str, Ledger] = {}

    def open(
        self,
        account: str,
        own: RiskParams,  # noqa: ARG002 — this desk measures nothing
        ledger: Ledger,
        in_flight: Iterable[Order] = (),
    ) -> None:
        on_their_way = {order.order_id for order in in_flight}
        self.accounts[account] = len(on_their_way)
        self.ledgers[account] = ledger
        self.reserved |= on_their_way

    def recall(self) -> None:
        pass

    def close(self, account: str) -> None:
        self.accounts.pop(account, None)

    def check(self, order: Order, account: str) -> Verdict:  # noqa: ARG002 — one verdict for all
        self.reserved.add(order.order_id)
        return self.verdict(order)

    def release(self, order_id: str) -> None:
        self.reserved.discard(order_id)

    def settle(self, report: ExecutionReport) -> None:
        self.reserved.discard(report.signal_id)

    def mark(self, symbol: str, price: float, at: float) -> None:
        pass

    def resume(self, account: str) -> None:
        pass

    def stopped_out(self, account: str, order: Order, entry: Decimal) -> None:
        pass


@dataclass
class Broker:
    """Takes signals as the outbox does: the same id once. While it `holds` they wait for `fill`."""

    holds: bool = False
    taken: list[Signal] = field(default_factory=list)
    executor: PortfolioExecutor | None = None
    answer: Callable[[Signal], ExecutionReport] = field(default_factory=lambda: filled)

    def submit(self, signal: Signal, *_: object) -> str | None:
        if signal.signal_id in {each.signal_id for each in self.taken}:
            return "duplicate_signal"
        self.taken.append(signal)
        if not self.holds:
            self.fill(signal)
        return None

    def fill(self, signal: Signal) -> None:
        if self.executor is not None:
            self.executor.report(signal.session_key, self.answer(signal))


def filled(signal: Signal, **changed: Any) -> ExecutionReport:
    return ExecutionReport(
        **{
            "signal_id": signal.signal_id,
            "symbol": signal.symbol,
            "action": signal.action,
            "quantity": signal.quantity,
            "status": "filled",
            "order_id": "o-1",
            "filled_quantity": signal.quantity,
            "filled_price": signal.price,
            **changed,
        }
    )


class Stage:
    """An executor and what is around it; `feeds` are where it listens for prices."""

    def __init__(self, url: str, broker: Broker, *, ttl: float = 30.0, **policy: Any) -> None:
        self.url = url
        self.broker = broker
        self.gate = OpenGate()
        self.feeds: dict[str, PriceFeed] = {}
        check_seconds = policy.pop("check_seconds", 60.0)
        limits = {"stops_out": falls_by, "max_position": Decimal("0.5"), "rebalance_drift": Decimal("0.05")}
        self.monitor = PositionMonitor(self._route, self._unroute, self.gate.mark, check_seconds)
        self.executor = PortfolioExecutor(
            ExecutorParts(
                table=ExecutionTable(Database(url, size=1)),
                monitor=self.monitor,
                review=RiskReview(self.gate),
                dispatch=OrderDispatch(broker.submit, ttl),
                policy=Policy(**{**limits, **policy}),
                resume_lane=lambda _: None,
                wrote_events=lambda: None,
            )
        )
        broker.executor = self.executor

    def _route(self, feed: PriceFeed) -> None:
        self.feeds[feed.symbol] = feed

    def _unroute(self, feed: PriceFeed) -> None:
        self.feeds.pop(feed.symbol, None)

    def approve(self, **config: Any) -> str:
        """Have an approval taken; wait for its execution and return its id."""
        limits = {"max_position_size": 0.5, "stop_loss_pct": 0.05}
        message = approval_message(**{"entry_rules": None, "risk_params": limits, **config})
        take_approval(self.url, json.dumps(message).encode())
        self.executor.look_for_new()
        return eventually(lambda: next((each.key for each in self.executor.executions()), None))

    def see(self, **prices: float) -> None:
        """Let trades flow by."""
        for symbol, price in prices.items():
            feed = eventually(lambda symbol=symbol: self.feeds.get(symbol), message=f"{symbol} is followed")  # type: ignore[misc]
            feed.on_trade(Trade(symbol, price, 1.0, AT))


@contextmanager
def running(url: str, broker: Broker | None = None, **policy: Any) -> Iterator[Stage]:
    """Run an executor; it is stopped in order at the end."""
    stage = Stage(url, broker or Broker(), **policy)
    stage.executor.start()
    try:
        yield stage
    finally:
        assert stage.executor.stop(10)


class OneMessage:
    """A source of messages that a test hands in."""

    reason: str | None = None
    lost = 0

    def __init__(self, payloads: Iterable[bytes]) -> None:
        self.waiting = [
            Message(place=Place("strategy.approved", None, f"{number}-0"), payload=payload)
            for number, payload in enumerate(payloads)
        ]
        self.committed: list[Message] = []

    def poll(self, most: int, seconds: float, gather: float = 0.0) -> list[Message]:  # noqa: ARG002 — never waits
        given, self.waiting = self.waiting[:most], self.waiting[most:]
        return given

    def commit(self, messages: Iterable[Message]) -> None:
        self.committed.extend(messages)

    def hold(self, messages: Iterable[Message], seconds: float) -> list[Message]:  # noqa: ARG002 — same
        return list(messages)

    def lag(self) -> int | None:
        return len(self.waiting)

    def close(self, seconds: float) -> None:
        pass


def take_approval(url: str, *payloads: bytes) -> tuple[list[str], list[tuple[str, str, bytes]]]:
    """Have messages taken by a desk; return what came of each, and the dead letters."""
    outcomes: list[str] = []
    dead: list[tuple[str, str, bytes]] = []
    database, stop = Database(url), Event()
    source = OneMessage(payloads)
    host = ApprovalHost(refuse=lambda *letter: dead.append(letter), count=outcomes.append, wrote=lambda: None)
    desk = ApprovalDesk(database, source, stop, host)
    desk.start()
    eventually(lambda: len(source.committed) == len(payloads), message="every message is acknowledged")
    assert desk.stop(10)
    database.close()
    return outcomes, dead


def record_signals(url: str, broker: Broker) -> None:
    """Write the signals of a broker as executed, as the outbox does."""
    with open_connection(url) as connection:
        for signal in broker.taken:
            connection.cursor().execute(
                """INSERT INTO signals (signal_id, session_key, strategy_id, symbol, action, price, quantity,
                   confidence, metadata, body, created_at, worker, status, finished_at, report)
                   VALUES (%s, %s, %s, %s, %s, %s, %s, 1, '{}', %s, now(), 1, 'executed', now(), %s)""",
                (
                    signal.signal_id,
                    signal.session_key,
                    signal.strategy_id,
                    signal.symbol,
                    signal.action,
                    signal.price,
                    signal.quantity,
                    encode(signal).decode(),
                    msgspec.json.encode(filled(signal)).decode(),
                ),
            )


def table(url: str, name: str, order: str = "created_at") -> list[dict[str, Any]]:
    """Every row of a table."""
    with open_connection(url) as connection:
        cursor = connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor)
        cursor.execute(f"SELECT * FROM {name} ORDER BY {order}")  # noqa: S608 — names of this file's callers
        return [dict(row) for row in cursor.fetchall()]


def execution(url: str) -> dict[str, Any]:
    [row] = table(url, "strategy_executions")
    return row


def orders(url: str) -> list[dict[str, Any]]:
    return table(url, "execution_orders", "number")


def events(url: str) -> list[dict[str, Any]]:
    return [row["payload"] for row in table(url, "execution_events", "number")]
