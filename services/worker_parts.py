"""The parts of a worker that need more than one line to make from its settings."""

import os
import secrets
import socket
from collections.abc import Callable, Iterator

import msgspec
import structlog
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from config import Settings
from models.execution import PartialFill
from models.session import SessionState
from models.signal import Signal
from services.control_listener import ControlListener
from services.db_client import Database
from services.execution_route import courier_options, make_route
from services.freezes.suspects import Suspects
from services.leases.holdings import Holdings
from services.leases.keeper import LeaseHooks, LeaseKeeper
from services.leases.process import this_process
from services.leases.table import LeaseTable
from services.mailbox import Mailbox
from services.own_strategies import load_own
from services.risk.guard import Guard
from services.sandbox.budgets import Budgets
from services.sandbox.opening import open_sandbox
from services.sandbox.strikes import StrikeBook
from services.sandbox.ward import Ward
from services.signals.desk import SignalDesk
from services.signals.fence import Fence
from services.signals.outbox import MemoryOutbox, Outbox
from services.signals.postgres_outbox import PostgresOutbox
from services.state_desk import StateDesk
from services.state_history import RecordedSignals, SignalHistory, UnansweredSignals
from services.state_keeper import StateKeeper
from services.state_source import source_hash
from services.state_store import PostgresStates, RedisStates, StateStore
from services.strategy_manager import StrategyManager, runs_on
from services.strategy_source import StrategySource
from services.telemetry.metrics import SignalMetrics
from strategies.registry import StrategyRegistry

# A machine that has just started may be slow, and a worker that started without a file has to be restarted.
IMPORT_SECONDS = 60.0

log = structlog.get_logger(__name__)


def make_leases(settings: Settings) -> LeaseKeeper:
    """Return what keeps the sessions of this worker apart from those of others on the same Redis."""
    instance = f"{worker_name()}-{secrets.token_hex(4)}"
    said = msgspec.json.encode(this_process()).decode()
    table = LeaseTable(settings.redis_url, instance, said, settings.lease_seconds)
    return LeaseKeeper(table, Holdings(), settings.lease_seconds)


def lease_hooks(
    manager: StrategyManager, states: StateDesk, desk: SignalDesk, control: ControlListener
) -> LeaseHooks:
    """Return what the keeper of leases asks and tells the other parts."""

    def standing_by() -> list[str]:
        standby = SessionState.STANDBY
        return [key for key, record in manager.records().items() if record.state is standby]

    def lost(key: str, owner: str) -> None:
        manager.stand_by(key, runs_on(owner))
        desk.resume(key)  # its signals are refused as lost; those of a later time here are not to be

    return LeaseHooks(
        standing_by=standing_by,
        needed=lambda: {*manager.records(), *states.keys(), *desk.session_keys()},
        lost=lost,
        won=control.compare_soon,
        confirmed=desk.leases_confirmed,
    )


def make_outbox(settings: Settings, fence: Fence) -> Outbox:
    """Return where signals wait: in PostgreSQL where there is one, else in memory."""
    size, ttl = settings.outbox_size, settings.signal_ttl_seconds
    if settings.database_url is None:
        log.warning(
            "outbox_in_memory", advice="set DATABASE_URL: signals on their way do not survive a crash"
        )
        return MemoryOutbox(size, ttl, fence=fence)
    return PostgresOutbox(Database(settings.database_url, size=1), size, ttl, fence=fence)


def make_desk(  # noqa: PLR0913, PLR0917 — what a signal meets on its way
    settings: Settings,
    outbox: Outbox,
    registry: CollectorRegistry,
    fence: Fence,
    guard: Guard,
    filled: Callable[[PartialFill], None],
) -> SignalDesk:
    """Return what takes signals from this outbox to where the settings have them executed.

    `filled` is told what was filled of orders that go on.
    """
    metrics, options = SignalMetrics(registry), courier_options(settings)
    return SignalDesk(make_route(settings, filled), options, outbox, metrics, fence=fence, guard=guard)


def unfinished_ids(outbox: Outbox) -> Callable[[], Iterator[str]]:
    """Return what gives the ids of the signals that have not ended."""
    return lambda: (entry.signal.signal_id for entry in outbox.unfinished())


def make_ward(settings: Settings, database: Database | None) -> Ward:
    """Return what runs stored code, in a sandbox that is opened at the first need."""
    budgets = Budgets(
        cpu_seconds=settings.sandbox_cpu_ms / 1000,
        cpu_kill_seconds=settings.sandbox_cpu_kill_ms / 1000,
        wall_seconds=settings.sandbox_wall_ms / 1000,
        core_share=settings.sandbox_core_share,
        signals_per_event=settings.sandbox_signals_per_event,
        signals_per_second=settings.sandbox_signals_per_second,
        log_lines_per_second=settings.sandbox_log_lines_per_second,
        most_cpu_seconds=settings.handler_deadline_max_ms / 1000,
    )
    return Ward(lambda lost: open_sandbox(settings, lost), StrikeBook(database), budgets)


def make_source(
    settings: Settings, database: Database | None, suspects: Suspects, ward: Ward
) -> StrategySource:
    """Return where strategies are found, the operator's own among them. Raises StrategyRejected."""
    strategies = StrategyRegistry()
    if settings.strategies_path is not None:
        for failure in load_own(strategies, settings.strategies_path, IMPORT_SECONDS):
            log.error("strategy_file_refused", file=failure.file, reason=failure.reason)
    strategies.get(settings.default_strategy)
    for name in strategies.names():
        source_hash(strategies.get(name))  # while the files are still as they were loaded
    suspects.look(strategies.get(name) for name in strategies.names())
    return StrategySource(strategies, database, settings.default_strategy, suspects, ward)


def make_state_desk(
    settings: Settings, database: Database | None, outbox: Outbox, mailbox: Mailbox, holdings: Holdings
) -> StateDesk:
    """Return what saves states: in PostgreSQL where there is one, else in Redis."""

    def unfinished() -> Iterator[Signal]:
        return (entry.signal for entry in outbox.unfinished())

    store: StateStore = RedisStates(settings.redis_url) if database is None else PostgresStates(database)
    history: SignalHistory = UnansweredSignals(unfinished)
    if database is not None:
        history = RecordedSignals(database, unfinished, holdings.note_change)
    return StateDesk(StateKeeper(store, settings.state_seconds), history, mailbox.post, holdings)


def worker_name() -> str:
    """Return what this process is called in the registry."""
    return f"{socket.gethostname()}-{os.getpid()}"


def reveal(secret: SecretStr | None) -> str | None:
    """Return a secret in clear, for the one place that sends or compares it."""
    return None if secret is None else secret.get_secret_value()
