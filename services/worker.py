"""The composition root: builds the worker, starts it, keeps it, and stops it, in one readable order."""

import time
from collections import Counter

import structlog

from config import Settings
from models.execution import PartialFill
from services.allocation_limit import AllocationLimit
from services.collector import Collector
from services.control_listener import ControlListener
from services.data_consumer import DataConsumer
from services.database_check import DatabaseCheck
from services.db_client import Database
from services.dead_letters import DeadLetters
from services.freezes.records import Records
from services.freezes.suspects import Suspects
from services.freezes.watch import FreezeWatch
from services.handler_alarm import HandlerAlarm
from services.mailbox import Mailbox
from services.main_thread import MainThread
from services.portfolio.portfolio import Surroundings, make_portfolio
from services.reconciliation import Reconciler
from services.reloading import Reloader
from services.risk.assembly import make_risk
from services.routing import Router
from services.sandbox.metrics import SandboxCollector
from services.session import SessionHost
from services.session_registry import SessionRegistry
from services.session_table import SessionTable
from services.stop_signal import StopSignal
from services.strategy_manager import StrategyManager
from services.supervisor import Supervisor
from services.telemetry.http_server import TelemetryServer
from services.telemetry.metrics import MetricSources, WorkerCollector, make_registry
from services.turn import Turn
from services.worker_parts import (
    lease_hooks,
    make_desk,
    make_leases,
    make_outbox,
    make_source,
    make_state_desk,
    make_ward,
    unfinished_ids,
    worker_name,
)
from services.worker_view import Shown, WorkerView

log = structlog.get_logger(__name__)


class Worker:
    """Everything that runs in one process, put together from one set of settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._registry = make_registry()
        self._handler_errors: Counter[str] = Counter()
        self._dead_letters = DeadLetters(settings.redis_url)
        self._database = Database(settings.database_url) if settings.database_url else None
        self._leases = make_leases(settings)
        holdings = self._leases.holdings
        self._session_registry = SessionRegistry(settings.redis_url, worker_name(), self._leases.__contains__)
        self._database_check = DatabaseCheck(self._database) if self._database else None
        outbox = make_outbox(settings, holdings)
        self._risk = make_risk(settings, self._database, self._registry, unfinished_ids(outbox))
        self._desk = make_desk(settings, outbox, self._registry, holdings, self._risk.guard, self._filled)
        self._router = Router()
        self._mailbox = Mailbox()
        records = Records(settings.run_path, settings.redis_url)
        self._freezes = FreezeWatch(settings.freeze_seconds, records)
        self._suspects = Suspects(records if settings.freeze_seconds else None)
        turn, deadline = Turn(), settings.handler_deadline_ms / 1000
        self._states = make_state_desk(settings, self._database, outbox, self._mailbox, holdings)
        self._ward = make_ward(settings, self._database)
        source = make_source(settings, self._database, self._suspects, self._ward)
        self._reloader = Reloader(source, self._ward, self._session_registry.changed)
        self._manager = StrategyManager(source, self._router, self._host(), turn, self._states)
        self._data = DataConsumer(
            settings.redis_url,
            turn,
            self._router,
            self._mailbox,
            self._dead_letters,
        )
        self._data.gaps.fences = settings.gap_policy == "fence"
        self._data.gaps.stale_seconds = settings.feed_stale_seconds
        if settings.risk_enabled:
            self._data.mark = self._risk.desk.mark
        self._data.long_event_seconds = deadline
        memory = AllocationLimit(settings.memory_step_mb << 20)
        self._collector = Collector()
        self._supervisor = Supervisor(turn, self._data.take_over, deadline, memory)
        self._main_thread = MainThread(HandlerAlarm(turn, deadline), self._data.read_here, self._stop)
        table = SessionTable(self._database) if self._database else None
        self._reconciler = Reconciler(self._manager, self._session_registry, table, self._leases)
        self._control = ControlListener(
            settings.redis_url,
            self._manager,
            self._reconciler,
            self._dead_letters,
            settings.reconcile_seconds,
        )
        self._leases.attend(lease_hooks(self._manager, self._states, self._desk, self._control))
        self._portfolio = make_portfolio(settings, self._surroundings())
        self._registry.register(WorkerCollector(self._metric_sources()))
        self._registry.register(SandboxCollector(self._ward))
        self._http = TelemetryServer(
            settings.http_host, settings.health_port, settings.metrics_port, self._view()
        )

    def run(self, stop: StopSignal) -> int:
        """Work until asked to stop; return the exit code. For the main thread: it reads the market data."""
        self._start()
        self._collector.start()
        return self._main_thread.run(stop)

    def _start(self) -> None:
        """Start the parts, those that others need first. Raises ConfigError when a port cannot be had."""
        self._http.start()
        self._freezes.start()
        self._dead_letters.start()
        if self._database_check is not None:
            self._database_check.start()
        self._leases.start()
        self._risk.start()
        self._desk.start(self._portfolio.before(self._manager))
        self._session_registry.start(self._manager.sessions)
        self._supervisor.start()
        self._states.start(self._manager.records)
        self._portfolio.start()
        self._control.start()
        if self._settings.strategy_reload == "auto":
            self._reloader.watch(self._settings.reconcile_seconds)
        log.info("worker_started", **self._settings.describe())

    def _stop(self) -> int:
        """Stop in the one order that loses nothing, within SHUTDOWN_SECONDS in all; return the exit code.

        Control first, so that nothing new starts, then portfolios, while prices still come: with
        SHUTDOWN_CLOSE_POSITIONS they close what they hold. Then market data, so that no strategy decides any
        more. Signals that are on their way are answered while strategies can still hear of it, and then the
        registry ends, in which the next start is to find these sessions running, or halted by such an answer.
        Then `on_stop`, whose signals go out too, and then their states are written, with the last answers in
        the positions; only now another worker may take the sessions over. Last the threads that everybody
        else used.
        """
        deadline = time.monotonic() + self._settings.shutdown_seconds
        log.info("worker_stopping", sessions=sum(self._manager.count_states().values()))
        self._leases.retire()
        self._control.stop(_left(_halfway(deadline)))
        closed = self._portfolio.wind_down(_left(_halfway(deadline)))
        self._router.close()
        self._desk.drain(_halfway(deadline))
        self._mailbox.flush(_left(_halfway(deadline)))
        self._session_registry.stop(_left(_halfway(deadline)))
        self._manager.stop_sessions()
        told = self._mailbox.flush(_left(_halfway(deadline)))
        self._ward.drain(_left(_halfway(deadline)))
        self._mailbox.flush(_left(_halfway(deadline)))
        unsent = self._desk.stop(_halfway(deadline))
        self._mailbox.flush(_left(_halfway(deadline)))
        unsaved = self._states.stop(_left(_halfway(deadline)))
        self._portfolio.stop(_left(_halfway(deadline)))
        self._leases.stop(_left(deadline))
        self._data.stop(_left(deadline))
        self._ward.stop(_left(deadline))
        self._supervisor.stop(_left(deadline))
        self._collector.stop(_left(deadline))
        self._risk.stop(_left(_halfway(deadline)))
        self._dead_letters.stop(_left(deadline))
        if self._database_check is not None:
            self._database_check.stop(_left(deadline))
        if self._database is not None:
            self._database.close()
        self._http.stop(_left(deadline))
        self._freezes.stop()
        log.info(
            "worker_stopped",
            every_on_stop_returned=told,
            executions_closed=closed,
            signals_left=unsent,
            states_left=unsaved,
        )
        return 0

    def _view(self) -> WorkerView:
        return WorkerView(
            Shown(
                settings=self._settings,
                registry=self._registry,
                control=self._control,
                data=self._data,
                desk=self._desk,
                manager=self._manager,
                states=self._states,
                suspects=self._suspects,
                ward=self._ward,
                reloader=self._reloader,
                reconciler=self._reconciler,
                router=self._router,
                leases=self._leases,
                switch=self._risk.switch,
                database_check=self._database_check,
                portfolio=self._portfolio,
            )
        )

    def _host(self) -> SessionHost:
        return SessionHost(
            submit=self._desk.submit,
            post=self._mailbox.post,
            unroute=self._router.remove,
            count_error=lambda strategy: self._handler_errors.update((strategy,)),
            changed=self._session_registry.changed,
            max_errors=self._settings.max_handler_errors,
            deadline_ms=self._settings.handler_deadline_ms,
            deadline_max_ms=self._settings.handler_deadline_max_ms,
            claim=self._leases.owner,
            withdraw=self._desk.withdraw,
            vet=self._risk.guard.vet,
            refuse=self._desk.refuse,
        )

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            router=self._router,
            mailbox=self._mailbox,
            gate=self._risk.desk,
            registry=self._registry,
            submit=self._desk.submit,
            resume_lane=self._desk.resume,
            refuse=self._dead_letters.add,
        )

    def _filled(self, fill: PartialFill) -> None:
        self._portfolio.filled(fill)

    def _metric_sources(self) -> MetricSources:
        return MetricSources(
            events=self._data.counters,
            control_gaps=lambda: self._control.gaps,
            control_rejected=lambda: self._control.rejected,
            control_events=lambda: self._control.outcomes,
            dead_letters=lambda: {"written": self._dead_letters.written, "lost": self._dead_letters.lost},
            sessions=self._manager.count_states,
            handler_errors=lambda: self._handler_errors,
            outbox_pending=lambda: self._desk.pending,
            feed_age_seconds=self._router.feed_age,
        )


def _left(moment: float) -> float:
    """Return the seconds until `moment`, and always a moment."""
    return max(0.1, moment - time.monotonic())


def _halfway(deadline: float) -> float:
    """Return the moment that leaves half of the remaining time to what comes after."""
    return (time.monotonic() + deadline) / 2
