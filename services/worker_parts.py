"""The parts of a worker that need more than one line to make from its settings."""

import os
import socket
from collections.abc import Iterator

import structlog
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from config import Settings
from models.errors import ConfigError
from models.signal import Signal
from services.db_client import Database
from services.execution_route import courier_options, make_route
from services.freezes.suspects import Suspects
from services.mailbox import Mailbox
from services.signals.desk import SignalDesk
from services.signals.outbox import MemoryOutbox, Outbox
from services.signals.postgres_outbox import PostgresOutbox
from services.state_desk import StateDesk
from services.state_history import RecordedSignals, SignalHistory, UnansweredSignals
from services.state_keeper import StateKeeper
from services.state_source import source_hash
from services.state_store import PostgresStates, RedisStates, StateStore
from services.strategy_source import StrategySource
from services.telemetry.metrics import SignalMetrics
from strategies.registry import StrategyRegistry

log = structlog.get_logger(__name__)


def make_outbox(settings: Settings) -> Outbox:
    """Return where signals wait: in PostgreSQL where there is one, else in memory."""
    size, ttl = settings.outbox_size, settings.signal_ttl_seconds
    if settings.database_url is None:
        return MemoryOutbox(size, ttl)
    return PostgresOutbox(Database(settings.database_url, size=1), size, ttl)


def make_desk(settings: Settings, outbox: Outbox, registry: CollectorRegistry) -> SignalDesk:
    """Return what takes signals from this outbox to where the settings have them executed."""
    return SignalDesk(make_route(settings), courier_options(settings), outbox, SignalMetrics(registry))


def make_source(settings: Settings, database: Database | None, suspects: Suspects) -> StrategySource:
    """Return where strategies are found, the operator's own among them. Raises StrategyRejected."""
    strategies = StrategyRegistry()
    if settings.strategies_path is not None:
        for failure in strategies.load_folder(settings.strategies_path):
            log.error("strategy_file_refused", file=failure.file, reason=failure.reason)
    strategies.get(settings.default_strategy)
    for name in strategies.names():
        source_hash(strategies.get(name))  # while the files are still as they were loaded
    suspects.look(strategies.get(name) for name in strategies.names())
    return StrategySource(strategies, database, settings.default_strategy, suspects)


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


def reveal(secret: SecretStr | None) -> str | None:
    """Return a secret in clear, for the one place that sends or compares it."""
    return None if secret is None else secret.get_secret_value()
