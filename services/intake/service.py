"""The intake put together from settings: started, run, and stopped in order."""

import sys
from threading import Event

import structlog
from prometheus_client import CollectorRegistry

from models.errors import ConfigError, StrategyRejected
from models.settings import Settings
from services.db_client import Database
from services.intake.consumer import IntakeConsumer
from services.intake.counters import IntakeCollector, IntakeCounters
from services.intake.discovered import DiscoveredReader, FindClass
from services.intake.pace import Ending, Pace
from services.intake.repository import StrategyRepository
from services.intake.transport import make_publisher, make_source
from services.intake.view import IntakeView
from services.telemetry.http_server import TelemetryServer
from services.telemetry.metrics import make_registry
from strategies.base_strategy import BaseStrategy
from strategies.registry import StrategyRegistry

STATEMENT_SECONDS = 60.0
STUCK_SECONDS = 300.0
STOP_SECONDS = 5.0
# How long a thread may keep the interpreter from another. The usual 5 ms after each statement are longer than
# PostgreSQL takes for it: the writing thread would wait as long as it works.
SWITCH_SECONDS = 0.0005

log = structlog.get_logger(__name__)


class Intake:
    """The process `python main.py intake`. Raises ConfigError without a DATABASE_URL."""

    def __init__(self, settings: Settings, pace: Pace, stop: Event) -> None:
        if settings.database_url is None:
            raise ConfigError("DATABASE_URL is not set: the intake writes into the table strategies")
        self._settings = settings
        self._pace = pace
        self._database = Database(settings.database_url, size=2, statement_timeout=STATEMENT_SECONDS)
        self._metrics = make_registry()
        counters = IntakeCounters()
        collector = IntakeCollector(settings.kafka_topic_strategies, counters, self._metrics)
        self.consumer = IntakeConsumer(
            make_source(settings, settings.kafka_topic_strategies, settings.kafka_group_id, stop),
            make_publisher(settings, stop),
            DiscoveredReader(settings.intake_format, class_finder(settings)),
            StrategyRepository(self._database),
            pace=pace,
            stop=stop,
            counters=counters,
            time_database=collector.database_seconds.observe,
        )

    def run(self, *, serve: bool) -> Ending:
        """Work until there is a reason to end; with `serve`, health and metrics can be asked for meanwhile.

        Raises ConfigError when a port cannot be had, or the tables are not there.
        """
        sys.setswitchinterval(SWITCH_SECONDS)
        http = self._http(self._metrics) if serve else None
        if http is not None:
            http.start()
        log.info("intake_started", serve=serve, **self._settings.describe())
        try:
            return self.consumer.run()
        finally:
            self._database.close()
            if http is not None:
                http.stop(STOP_SECONDS)

    def _http(self, metrics: CollectorRegistry) -> TelemetryServer:
        settings = self._settings
        view = IntakeView(metrics, self.consumer, self._pace.batch_seconds + STUCK_SECONDS)
        return TelemetryServer(settings.http_host, settings.health_port, settings.metrics_port, view)


def class_finder(settings: Settings) -> FindClass:
    """Return what finds the class of a type, built in or of STRATEGIES_PATH, or None."""
    registry = StrategyRegistry()
    if settings.strategies_path is not None:
        for failure in registry.load_folder(settings.strategies_path):
            log.warning("strategy_not_loaded", file=failure.file, reason=failure.reason)
    known = registry.names()

    def find(strategy_type: str) -> type[BaseStrategy] | None:
        try:
            return registry.get(strategy_type) if strategy_type in known else None
        except StrategyRejected:
            return None

    return find
