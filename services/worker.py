"""The composition root: builds the worker, starts it, keeps it, and stops it, in one readable order."""

import hmac
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from config import Settings
from models.errors import ConfigError
from models.signal import Signal
from services.control_listener import ControlListener
from services.data_consumer import DataConsumer
from services.database_check import DatabaseCheck
from services.db_client import Database
from services.dead_letters import DeadLetters
from services.mailbox import Mailbox
from services.reconciliation import Reconciler
from services.routing import Router
from services.session import ENDED, SessionHost
from services.session_registry import SessionRegistry
from services.session_table import SessionTable
from services.signals.courier import CourierOptions
from services.signals.desk import SignalDesk
from services.signals.gateway_client import GatewayOptions
from services.signals.outbox import MemoryOutbox, Outbox
from services.signals.postgres_outbox import PostgresOutbox
from services.state_desk import StateDesk
from services.state_history import RecordedSignals, SignalHistory, UnansweredSignals
from services.state_keeper import StateKeeper
from services.state_source import source_hash
from services.state_store import PostgresStates, RedisStates, StateStore
from services.stop_signal import StopSignal
from services.strategy_manager import StrategyManager
from services.strategy_source import StrategySource
from services.supervisor import Supervisor
from services.telemetry.health import Conditions, Health, Readiness
from services.telemetry.http_server import TelemetryServer
from services.telemetry.metrics import MetricSources, SignalMetrics, WorkerCollector, make_registry
from services.turn import Turn
from strategies.registry import StrategyRegistry

BEAT_LIMIT_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Worker:
    """Everything that runs in one process, put together from one set of settings."""

    def __init__(self, settings: Settings) -> None:
        refuse_what_is_not_built(settings)
        self._settings = settings
        self._registry = make_registry()
        self._handler_errors: Counter[str] = Counter()
        self._dead_letters = DeadLetters(settings.redis_url)
        self._database = Database(settings.database_url) if settings.database_url else None
        self._session_registry = SessionRegistry(settings.redis_url, worker_name())
        self._database_check = DatabaseCheck(self._database) if self._database else None
        outbox = self._make_outbox()
        self._desk = self._make_desk(outbox)
        self._router = Router()
        self._mailbox = Mailbox()
        turn = Turn()
        self._states = make_state_desk(settings, self._database, outbox, self._mailbox)
        self._manager = StrategyManager(self._source(), self._router, self._host(), turn, self._states)
        self._data = DataConsumer(settings.redis_url, turn, self._router, self._mailbox, self._dead_letters)
        self._supervisor = Supervisor(turn, self._data.take_over, settings.handler_deadline_ms / 1000)
        table = SessionTable(self._database) if self._database else None
        self._reconciler = Reconciler(self._manager, self._session_registry, table)
        self._control = ControlListener(
            settings.redis_url,
            self._manager,
            self._reconciler,
            self._dead_letters,
            settings.reconcile_seconds,
        )
        self._conditions = self._make_conditions()
        self._registry.register(WorkerCollector(self._metric_sources()))
        self._http = TelemetryServer(settings.http_host, settings.health_port, settings.metrics_port, self)

    def run(self, stop: StopSignal) -> int:
        """Work until asked to stop; return the exit code."""
        self.start()
        stop.wait()
        return self.stop()

    def start(self) -> None:
        """Start the parts, those that others need first. Raises ConfigError when a port cannot be had."""
        self._http.start()
        self._dead_letters.start()
        if self._database_check is not None:
            self._database_check.start()
        self._desk.start(self._manager)
        self._session_registry.start(self._manager.sessions)
        self._supervisor.start()
        self._data.start()
        self._states.start()
        self._control.start()
        log.info("worker_started", **self._settings.describe())
        if self._settings.database_url is None:
            log.warning(
                "outbox_in_memory", advice="set DATABASE_URL: signals on their way do not survive a crash"
            )

    def stop(self) -> int:
        """Stop in the one order that loses nothing, within SHUTDOWN_SECONDS in all; return the exit code.

        Control first, so that nothing new starts, and the registry, in which the next start is to find these
        sessions running. Then market data, so that no strategy decides any more.
        Signals that are on their way are answered while strategies can still hear of it; then `on_stop`,
        whose signals go out too, and then their states are written, with the last answers in the positions.
        Last the threads that everybody else used.
        """
        deadline = time.monotonic() + self._settings.shutdown_seconds
        log.info("worker_stopping", sessions=sum(self._manager.count_states().values()))
        self._control.stop(_left(_halfway(deadline)))
        self._session_registry.stop(_left(_halfway(deadline)))
        self._router.close()
        self._desk.drain(_halfway(deadline))
        self._manager.stop_all()
        told = self._mailbox.flush(_left(_halfway(deadline)))
        unsent = self._desk.stop(_halfway(deadline))
        self._mailbox.flush(_left(_halfway(deadline)))
        unsaved = self._states.stop(_left(_halfway(deadline)))
        self._data.stop(_left(deadline))
        self._supervisor.stop(_left(deadline))
        self._dead_letters.stop(_left(deadline))
        if self._database_check is not None:
            self._database_check.stop(_left(deadline))
        if self._database is not None:
            self._database.close()
        self._http.stop(_left(deadline))
        log.info("worker_stopped", every_on_stop_returned=told, signals_left=unsent, states_left=unsaved)
        return 0

    @property
    def registry(self) -> CollectorRegistry:
        """The metrics."""
        return self._registry

    def health(self) -> Health:
        """Whether both threads beat."""
        beats = {"control-listener": self._control.heartbeat, "data-consumer": self._data.heartbeat}
        return Health.of(beats, BEAT_LIMIT_SECONDS, time.monotonic())

    def readiness(self) -> Readiness:
        """Whether the worker does its work, and what is missing."""
        return self._conditions.readiness()

    def sessions(self) -> list[dict[str, Any]]:
        """Describe every session."""
        return self._manager.sessions()

    def authorised(self, token: str) -> bool:
        """Whether this is the CONTROL_TOKEN; never, where none is set."""
        expected = _reveal(self._settings.control_token)
        return expected is not None and hmac.compare_digest(token.encode(), expected.encode())

    def resume(self, key: str) -> bool:
        """Have a session that ended with a reason run again; false when there is none with this key."""
        record = self._manager.records().get(key)
        if record is None or record.state not in ENDED:
            return False
        log.warning("session_resumed_by_hand", session=key, state=record.state.value, reason=record.reason)
        self._desk.resume(key)
        self._control.resume(key)
        return True

    def _make_desk(self, outbox: Outbox) -> SignalDesk:
        settings = self._settings
        return SignalDesk(
            GatewayOptions(
                url=settings.gateway_url,
                timeout=settings.gateway_timeout,
                token=_reveal(settings.gateway_token),
                hmac_secret=_reveal(settings.gateway_hmac_secret),
            ),
            CourierOptions(threads=settings.gateway_threads, idempotent=settings.gateway_idempotent),
            outbox,
            SignalMetrics(self._registry),
        )

    def _make_outbox(self) -> Outbox:
        size, ttl = self._settings.outbox_size, self._settings.signal_ttl_seconds
        if self._settings.database_url is None:
            return MemoryOutbox(size, ttl)
        return PostgresOutbox(Database(self._settings.database_url, size=1), size, ttl)

    def _source(self) -> StrategySource:
        strategies = StrategyRegistry()
        if self._settings.strategies_path is not None:
            for failure in strategies.load_folder(self._settings.strategies_path):
                log.error("strategy_file_refused", file=failure.file, reason=failure.reason)
        strategies.get(self._settings.default_strategy)
        for name in strategies.names():
            source_hash(strategies.get(name))  # while the files are still as they were loaded
        return StrategySource(strategies, self._database, self._settings.default_strategy)

    def _host(self) -> SessionHost:
        return SessionHost(
            submit=self._desk.submit,
            post=self._mailbox.post,
            unroute=self._router.remove,
            count_error=self._count_error,
            changed=self._session_registry.changed,
            max_errors=self._settings.max_handler_errors,
            deadline_ms=self._settings.handler_deadline_ms,
            deadline_max_ms=self._settings.handler_deadline_max_ms,
        )

    def _count_error(self, strategy: str) -> None:
        self._handler_errors[strategy] += 1

    def _make_conditions(self) -> Conditions:
        conditions = Conditions()
        conditions.add("control", lambda: None if self._control.subscribed else "not subscribed")
        conditions.add("market_data", lambda: None if self._data.subscribed else "not subscribed")
        conditions.add("sessions", lambda: self._reconciler.reason)
        conditions.add("gateway", lambda: self._desk.circuit_reason)
        check = self._database_check
        if check is not None:
            conditions.add("database", lambda: check.reason)
        return conditions

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


def make_state_desk(
    settings: Settings, database: Database | None, outbox: Outbox, mailbox: Mailbox
) -> StateDesk:
    """Return what saves states: in PostgreSQL where there is one, else in Redis."""

    def unfinished() -> Iterator[Signal]:
        return (entry.signal for entry in outbox.unfinished())

    store: StateStore = RedisStates(settings.redis_url) if database is None else PostgresStates(database)
    history: SignalHistory = UnansweredSignals(unfinished)
    if database is not None:
        history = RecordedSignals(database, unfinished)
    return StateDesk(StateKeeper(store, settings.state_seconds), history, mailbox.post)


def worker_name() -> str:
    """Return what this process is called in the registry."""
    return f"{socket.gethostname()}-{os.getpid()}"


def refuse_what_is_not_built(settings: Settings) -> None:
    """Raise ConfigError for a protection that somebody switched on and that this version does not have."""
    if settings.risk_enabled:
        raise ConfigError(
            "RISK_ENABLED is true, but this version checks no risk yet; unset it to run without"
        )
    if settings.gap_policy == "fence":
        raise ConfigError("GAP_POLICY is fence, but this version only notifies yet; unset it to run so")


def _reveal(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _left(moment: float) -> float:
    """Return the seconds until `moment`, and always a moment."""
    return max(0.1, moment - time.monotonic())


def _halfway(deadline: float) -> float:
    """Return the moment that leaves half of the remaining time to what comes after."""
    return (time.monotonic() + deadline) / 2
