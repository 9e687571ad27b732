"""What the portfolio thread works with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from services.portfolio.decisions import Policy
from services.portfolio.execution_orders import OrderDispatch
from services.portfolio.execution_table import ExecutionTable
from services.portfolio.position_monitor import PositionMonitor
from services.portfolio.risk_review import RiskReview

Command = Literal["stop", "pause", "resume"]


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class ExecutorParts:
    """The parts of the executor; all but `monitor` are for its thread alone.

    `resume_lane` lets signals of an execution go again after an unknown one; `wrote_events` tells that there
    is something to be published.
    """

    table: ExecutionTable
    monitor: PositionMonitor
    review: RiskReview
    dispatch: OrderDispatch
    policy: Policy
    resume_lane: Callable[[str], None]
    wrote_events: Callable[[], None]
    clock: Callable[[], datetime] = utc_now
