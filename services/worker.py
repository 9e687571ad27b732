"""The composition root: builds the worker, starts it, keeps it, and stops it, in one readable order."""

import time
from collections import Counter
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from config import Settings
from models.errors import StorageError
from models.signal import Signal
from services.control_listener import ControlListener
from services.data_consumer import DataConsumer
from services.db_client import Database
from services.dead_letters import DeadLetters
from services.mailbox import Mailbox
from services.routing import Router
from services.session import SessionHost
from services.stop_signal import StopSignal
from services.strategy_manager import StrategyManager
from services.strategy_source import StrategySource
from services.telemetry.health import Conditions, Health, Readiness
from services.telemetry.http_server import TelemetryServer
from services.telemetry.metrics import EventCounters, MetricSources, SignalMetrics, WorkerCollector, make_registry
from strategies.registry import StrategyRegistry

BEAT_LIMIT_SECONDS = 5.0

log = structlog.get_logger(__name__)
