"""Portfolio executions as the worker has them: put together, started and stopped in order."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from prometheus_client import CollectorRegistry, Counter

from models.execution import PartialFill
from models.portfolio import PositionValue, decimal_of
from models.settings import Settings
from services.db_client import Database
from services.intake.transport import make_publisher, make_source
from services.mailbox import Mailbox
from services.portfolio.absent import NoPortfolio
from services.portfolio.approval_desk import GROUP, TOPIC, ApprovalDesk, ApprovalHost
from services.portfolio.decisions import Policy
from services.portfolio.event_publisher import EventPublisher
from services.portfolio.execution_metrics import ExecutionCollector, ExecutionNumbers
from services.portfolio.execution_orders import OrderDispatch, Submit
from services.portfolio.execution_parts import Command, ExecutorParts
from services.portfolio.execution_table import ExecutionTable
from services.portfolio.execution_view import ExecutionView
from services.portfolio.executor import PortfolioExecutor
from services.portfolio.position_monitor import PositionMonitor
from services.portfolio.price_feed import PriceFeed
from services.portfolio.report_dispatch import ReportDispatch
from services.portfolio.risk_review import RiskGate, RiskReview
from services.portfolio.snapshot_retention import SnapshotRetention
from services.risk.days import trading_day
from services.risk.stop_loss import is_stopped_out
from services.routing import Router
from services.signals.desk import Sessions
from services.turn import Errand

if TYPE_CHECKING:
    from services.session import Session


@dataclass(frozen=True)
class Surroundings:
    """What portfolios need of the worker around them.

    `submit` takes a signal to the outbox, `resume_lane` lets signals of a key go again after an unknown one,
    `refuse` keeps a refused message in the dead letters.
    """

    router: Router
    mailbox: Mailbox
    gate: RiskGate
    registry: CollectorRegistry
    submit: Submit
    resume_lane: Callable[[str], None]
    refuse: Callable[[str, str, bytes], None]


class Portfolio:
    """The executions of one worker, from approval to order. Needs a database."""

    def __init__(self, settings: Settings, database_url: str, around: Surroundings) -> None:
        self._around = around
        self._closes_positions = settings.shutdown_close_positions
        self._database = Database(database_url, size=2)
        stop = Event()
        retention = SnapshotRetention(self._database, settings.position_snapshot_days)
        self._events = EventPublisher(self._database, make_publisher(settings, Event()), retention.look)
        day_start = time.fromisoformat(settings.risk_day_start)
        self._monitor = PositionMonitor(
            self._route,
            self._unroute,
            around.gate.mark,
            settings.position_check_seconds,
            lambda now: trading_day(now, day_start),
        )
        self._dispatch = OrderDispatch(around.submit, settings.signal_ttl_seconds)
        self._executor = PortfolioExecutor(
            ExecutorParts(
                table=ExecutionTable(Database(database_url, size=1)),
                monitor=self._monitor,
                review=RiskReview(around.gate),
                dispatch=self._dispatch,
                policy=make_policy(settings),
                resume_lane=around.resume_lane,
                wrote_events=self._events.wake,
            )
        )
        self._view = ExecutionView(self._executor, self._monitor)
        self._taken = Counter(
            "intake_messages",
            "Messages by what came of them.",
            ["topic", "outcome"],
            registry=around.registry,
        )
        host = ApprovalHost(refuse=around.refuse, count=self._count, wrote=self._wrote)
        source = make_source(settings, TOPIC, GROUP, stop)
        self._approvals = ApprovalDesk(self._database, source, stop, host)
        around.registry.register(ExecutionCollector(self._numbers()))

    def start(self) -> None:
        """Take executions up where they were, then new approvals."""
        self._events.start()
        self._executor.start()
        self._approvals.start()

    def wind_down(self, timeout: float) -> bool:
        """Take no new approvals, and decide nothing any more.

        With SHUTDOWN_CLOSE_POSITIONS the positions of every execution are closed first; false when some are
        left after `timeout` seconds.
        """
        self._approvals.stop(timeout / 2)
        closed = not self._closes_positions or self._executor.wind_down(timeout / 2)
        self._executor.hold()
        return closed

    def stop(self, timeout: float) -> bool:
        """Leave executions as they are, for the next start; false when a thread did not end in time."""
        deadline = monotonic() + timeout
        ended = self._executor.stop(timeout / 2)
        ended &= self._events.stop(max(deadline - monotonic(), 0.1))
        self._database.close()
        return ended

    def before(self, sessions: Sessions) -> Sessions:
        """Return who hears of signals: executions of theirs, `sessions` of all others."""
        return ReportDispatch(sessions, self._executor)

    def filled(self, fill: PartialFill) -> None:
        """Show what was filled of an order that goes on, if it is one of an execution."""
        self._executor.filled(fill)

    @property
    def reason(self) -> str | None:
        """Why no approvals can be taken at the moment; None when they can."""
        return self._approvals.reason

    def executions(self) -> list[dict[str, Any]]:
        """Describe every execution that has not ended."""
        return self._view.executions()

    def command(self, execution_id: str, command: Command) -> Future[bool] | None:
        """Have an execution stopped, paused or resumed; None where there is none. See PortfolioExecutor."""
        return self._executor.command(execution_id, command, f"{command} by command")

    def _route(self, feed: PriceFeed) -> None:
        joining = Errand(lambda joined: joined.join(self._around.router))
        self._around.mailbox.post(cast("Session", feed), joining)

    def _unroute(self, feed: PriceFeed) -> None:
        feed.leave(self._around.router)

    def _count(self, outcome: str) -> None:
        self._taken.labels(TOPIC, outcome).inc()

    def _wrote(self) -> None:
        self._executor.look_for_new()
        self._events.wake()

    def _numbers(self) -> ExecutionNumbers:
        return ExecutionNumbers(
            active=self._view.active,
            submitted=lambda: self._dispatch.submitted,
            filled=lambda: self._executor.steps.filled,
            pnl=self._view.total_pnl,
        )


def make_portfolio(settings: Settings, around: Surroundings) -> Portfolio | NoPortfolio:
    """Return the portfolios of the database of the settings; without one there are none."""
    if settings.database_url is None:
        return NoPortfolio()
    return Portfolio(settings, settings.database_url, around)


def make_policy(settings: Settings) -> Policy:
    """Return how executions are run, from the settings."""
    buffer = decimal_of(settings.risk_stop_loss_buffer)

    def stops_out(held: PositionValue, share: float) -> bool:
        return is_stopped_out(held.quantity, held.average_price, held.price, decimal_of(share), buffer)

    return Policy(
        stops_out=stops_out,
        max_position=Decimal(repr(settings.risk_max_position)),
        rebalance_drift=Decimal(repr(settings.rebalance_drift)),
        rebalance_seconds=settings.rebalance_seconds,
        price_wait_seconds=settings.price_wait_seconds,
    )
