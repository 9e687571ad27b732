"""What a worker shows of itself over HTTP, and the orders it takes there."""

import hmac
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog
from prometheus_client import CollectorRegistry

from config import Settings
from services.control_listener import ControlListener
from services.data_consumer import DataConsumer
from services.database_check import DatabaseCheck
from services.freezes.suspects import Suspects
from services.leases.keeper import LeaseKeeper
from services.portfolio.absent import NoPortfolio
from services.portfolio.portfolio import Portfolio
from services.reconciliation import Reconciler
from services.reloading import Reloader
from services.risk.kill_switch import KillSwitch
from services.routing import Router
from services.sandbox.ward import Ward
from services.session import ENDED
from services.signals.desk import SignalDesk
from services.state_desk import StateDesk
from services.strategy_manager import StrategyManager
from services.telemetry.health import Conditions, Health, Readiness
from services.worker_parts import reveal

BEAT_LIMIT_SECONDS = 5.0
NAMED = 3

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Shown:
    """The parts of a worker that its view looks at."""

    settings: Settings
    registry: CollectorRegistry
    control: ControlListener
    data: DataConsumer
    desk: SignalDesk
    manager: StrategyManager
    states: StateDesk
    suspects: Suspects
    ward: Ward
    reloader: Reloader
    reconciler: Reconciler
    router: Router
    leases: LeaseKeeper
    switch: KillSwitch
    database_check: DatabaseCheck | None
    portfolio: Portfolio | NoPortfolio = field(default_factory=NoPortfolio)


class WorkerView:
    """Answers from what the threads of the worker keep anyway: nothing here waits."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._conditions = self._make_conditions()

    @property
    def registry(self) -> CollectorRegistry:
        """The metrics."""
        return self._shown.registry

    def health(self) -> Health:
        """Whether the threads beat that everything depends on."""
        shown = self._shown
        beats = {"control-listener": shown.control.heartbeat, "data-consumer": shown.data.heartbeat}
        if shown.ward.started:
            beats["sandbox-io"] = shown.ward.exchange.heartbeat
        return Health.of(beats, BEAT_LIMIT_SECONDS, time.monotonic())

    def readiness(self) -> Readiness:
        """Whether the worker does its work, and what is missing."""
        return self._conditions.readiness()

    def sessions(self) -> list[dict[str, Any]]:
        """Describe every session."""
        return self._shown.manager.sessions()

    def authorised(self, token: str) -> bool:
        """Whether this is the CONTROL_TOKEN; never, where none is set."""
        expected = reveal(self._shown.settings.control_token)
        return expected is not None and hmac.compare_digest(token.encode(), expected.encode())

    def resume(self, key: str) -> bool:
        """Have a session that ended with a reason run again; false when there is none with this key."""
        record = self._shown.manager.records().get(key)
        if record is None or record.state not in ENDED:
            return False
        log.warning("session_resumed_by_hand", session=key, state=record.state.value, reason=record.reason)
        self._shown.suspects.pardon(record.identity.strategy_id)
        self._shown.ward.strikes.pardon(key)
        self._shown.desk.resume(key)
        self._shown.control.resume(key)
        return True

    def reload(self, strategy_id: str) -> list[str]:
        """Have the sessions of stored code go on with the code of now; return their keys."""
        return self._shown.reloader.reload(strategy_id)

    def executions(self) -> list[dict[str, Any]]:
        """Describe every portfolio execution that has not ended; none without a database."""
        return self._shown.portfolio.executions()

    def command_execution(
        self, execution_id: str, command: Literal["stop", "pause", "resume"]
    ) -> Future[bool] | None:
        """Have an execution stopped, paused or resumed; None where there is none. Done once it is written."""
        return self._shown.portfolio.command(execution_id, command)

    def _make_conditions(self) -> Conditions:
        shown, check = self._shown, self._shown.database_check
        conditions = Conditions()
        conditions.add(
            "threads", lambda: None if self.health().ok else f"stuck: {', '.join(self.health().stuck)}"
        )
        conditions.add("control", lambda: None if shown.control.subscribed else "not subscribed")
        conditions.add("market_data", lambda: None if shown.data.subscribed else "not subscribed")
        conditions.add("feeds", self._silent_feeds)
        conditions.add("leases", lambda: shown.leases.reason)
        conditions.add("sessions", lambda: shown.reconciler.reason)
        conditions.add("trading", lambda: shown.switch.reason)
        conditions.add(shown.settings.execution_route, lambda: shown.desk.circuit_reason)
        conditions.add("outbox", lambda: self._unwritten("signals", shown.desk.outbox_reason))
        conditions.add("states", lambda: self._unwritten("states", shown.states.reason))
        if check is not None:
            conditions.add("database", lambda: check.reason)
        conditions.add("approvals", lambda: shown.portfolio.reason)
        return conditions

    def _unwritten(self, what: str, reason: str | None) -> str | None:
        """Say what waits in memory, and where to look."""
        if reason is None:
            return None
        durable = self._shown.settings.database_url is not None
        where = "PostgreSQL answers at DATABASE_URL" if durable else "Redis answers at REDIS_URL"
        return f"{what} are not written and wait in memory, see that {where}: {reason}"

    def _silent_feeds(self) -> str | None:
        silent = self._shown.router.silent(self._shown.settings.feed_stale_seconds)
        if not silent:
            return None
        named = [f"{symbol} for {seconds:.0f} s" for symbol, seconds in sorted(silent.items())]
        more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
        return f"silent: {', '.join(named[:NAMED])}{more}"
