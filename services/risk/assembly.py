"""Risk as the worker has it: put together from settings, started before anything decides, stopped last."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time

from prometheus_client import CollectorRegistry

from models.portfolio import decimal_of
from models.risk import Limits
from models.settings import Settings
from services.db_client import Database
from services.risk.account import Account
from services.risk.book import RiskBook
from services.risk.day_watch import DayWatch
from services.risk.desk import RiskDesk
from services.risk.events import event_of_switch
from services.risk.guard import Guard
from services.risk.keeper import RiskKeeper
from services.risk.kill_switch import Halt, KillSwitch
from services.risk.metrics import RiskMetrics
from services.risk.recall import SignalRecall
from services.risk.recorder import EventStore, LoggedEvents, PostgresEvents, Recorder
from services.risk.session_books import SessionBooks
from services.risk.state_store import PostgresRiskStates, RedisRiskStates, RiskStates
from services.risk.states import StateKeeping


@dataclass(frozen=True)
class Risk:
    """The desk, the guard between sessions and the outbox, the kill switch, and the thread that keeps it."""

    desk: RiskDesk
    guard: Guard
    switch: KillSwitch
    keeper: RiskKeeper

    def start(self) -> None:
        """Find out whether trading is halted, and take up what was saved."""
        self.switch.start()
        self.keeper.start()

    def stop(self, timeout: float) -> bool:
        """Write what is left; false where `timeout` seconds were not enough."""
        kept = self.keeper.stop(timeout)
        self.switch.stop(timeout)
        return kept


def make_risk(
    settings: Settings,
    database: Database | None,
    registry: CollectorRegistry,
    unfinished: Callable[[], Iterable[str]],
) -> Risk:
    """Return risk by these settings; `unfinished` gives the ids of the signals in the outbox."""
    limits = limits_of(settings)
    metrics = RiskMetrics(registry)
    events: EventStore = LoggedEvents() if database is None else PostgresEvents(database)
    recorder = Recorder(events, metrics.count, metrics.recorded)

    def switched(halt: Halt | None) -> None:
        recorder.add(event_of_switch(halt, datetime.now(UTC)))

    switch = KillSwitch(settings.redis_url, switched)
    days = DayWatch(limits, time.fromisoformat(settings.risk_day_start))
    book = RiskBook(days, settings.risk_max_orders_per_second)
    sessions = _sessions(settings, limits, book, database, unfinished) if settings.risk_enabled else None
    store: RiskStates = RedisRiskStates(settings.redis_url)
    if database is not None:
        store = PostgresRiskStates(database)
    keeping = StateKeeping(store, book, sessions)
    desk = RiskDesk(limits, book, switch, recorder.add, recall=keeping.recall)
    keeper = RiskKeeper(desk, recorder, keeping, sessions, lambda: switch.resume)
    return Risk(desk, Guard(desk, switch, checks_sessions=settings.risk_enabled), switch, keeper)


def limits_of(settings: Settings) -> Limits:
    """Return the worker's limits."""
    return Limits(
        min_order=decimal_of(settings.risk_min_order),
        max_order=decimal_of(settings.risk_max_order),
        max_position=decimal_of(settings.risk_max_position),
        max_exposure=decimal_of(settings.risk_max_exposure),
        max_daily_loss=decimal_of(settings.risk_max_daily_loss),
        max_daily_loss_amount=decimal_of(settings.risk_max_daily_loss_amount),
        stop_loss_buffer=decimal_of(settings.risk_stop_loss_buffer),
        price_max_age=settings.price_max_age_seconds,
    )


def _sessions(
    settings: Settings,
    limits: Limits,
    book: RiskBook,
    database: Database | None,
    unfinished: Callable[[], Iterable[str]],
) -> SessionBooks:
    account = Account(limits=limits, fixed_value=decimal_of(settings.risk_portfolio_value))
    recall = None if database is None else SignalRecall(database)
    return SessionBooks(book, account, recall, unfinished)
