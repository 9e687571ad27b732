"""Risk put together as in the worker, over real servers: restarts, resumes, and a database that is away."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import redis
from prometheus_client import CollectorRegistry

from models.execution_plan import RiskParams
from models.portfolio import Holding, Ledger
from models.risk import Approved, Refused, Rule, Verdict
from models.settings import Settings
from services.db_client import Database, migrate
from services.embedded import EmbeddedPostgres
from services.risk.assembly import Risk, make_risk
from services.risk.events import SESSIONS
from services.risk.kill_switch import SwitchBoard
from tests.sample_risk import filled, order
from tests.support import eventually

EXECUTION = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
BOOKS = Ledger(
    capital=Decimal(100_000),
    cash=Decimal(80_000),
    holdings={"AAPL": Holding(Decimal(200), Decimal(20_000), last_price=Decimal(100))},
)


@contextmanager
def running(redis_url: str, database_url: str | None, price: float = 100.0) -> Iterator[Risk]:
    settings = Settings(redis_url=redis_url, database_url=database_url, risk_enabled=True)
    database = Database(database_url, connect_timeout=1.0) if database_url else None
    risk = make_risk(settings, database, CollectorRegistry(), list)
    risk.start()
    risk.desk.mark("AAPL", price, time.monotonic())
    try:
        yield risk
    finally:
        assert risk.stop(10.0)
        if database is not None:
            database.close()


def judged(risk: Risk, account: str = EXECUTION, price: str = "100") -> Verdict:
    given = order(owner=account, price=price)
    verdict = risk.desk.check(given, account)
    risk.desk.release(given.order_id)
    return verdict


def lose(risk: Risk) -> None:
    """Have the execution lose 8,000 of its 100,000, and wait until that halts it."""
    risk.desk.mark("AAPL", 60.0, time.monotonic())
    eventually(lambda: risk.desk.halted(EXECUTION), message="the execution is halted")


def test_a_halt_outlives_the_process_and_a_word_to_resume_is_heeded_once(
    redis_url: str, database_url: str
) -> None:
    with running(redis_url, database_url) as risk:
        risk.desk.open(EXECUTION, RiskParams(), BOOKS)
        assert isinstance(judged(risk), Approved)
        lose(risk)
        closing = order("SELL", "200", "60", owner=EXECUTION)
        assert isinstance(risk.desk.check(closing, EXECUTION), Approved)
    with running(redis_url, database_url, price=60.0) as risk:
        risk.desk.open(EXECUTION, RiskParams(), BOOKS)
        assert isinstance(judged(risk, price="60"), Refused)
        with redis.Redis.from_url(redis_url) as client:
            SwitchBoard(client).resume("ann", EXECUTION)
            eventually(lambda: not risk.desk.halted(EXECUTION), message="the execution may trade")
    with running(redis_url, database_url, price=60.0) as risk:
        risk.desk.open(EXECUTION, RiskParams(), BOOKS)
        risk.desk.mark("AAPL", 20.0, time.monotonic())
        eventually(lambda: risk.desk.halted(EXECUTION), message="it is halted again")
    with running(redis_url, database_url, price=20.0) as risk:
        risk.desk.open(EXECUTION, RiskParams(), BOOKS)
        assert risk.switch.resume is not None  # the old word, looked at before `start` returned
        assert isinstance(judged(risk, price="20"), Refused)


def test_who_takes_an_execution_over_knows_that_it_was_halted(redis_url: str, database_url: str) -> None:
    """The other worker was there all the time, and has read the states long before the halt."""
    with running(redis_url, database_url, price=60.0) as standby:
        with running(redis_url, database_url) as leader:
            leader.desk.open(EXECUTION, RiskParams(), BOOKS)
            lose(leader)
        standby.desk.recall()
        standby.desk.open(EXECUTION, RiskParams(), BOOKS)
        assert isinstance(judged(standby, price="60"), Refused)
        assert standby.desk.halted(EXECUTION)


def test_sessions_keep_their_positions_and_their_day_without_a_database(redis_url: str) -> None:
    with running(redis_url, None) as risk:
        given = order(quantity="250")
        assert isinstance(risk.desk.check(given, SESSIONS), Approved)
        risk.desk.settle(filled(given))
        risk.desk.mark("AAPL", 70.0, time.monotonic())
        eventually(lambda: risk.desk.halted(SESSIONS), message="sessions are halted")
    with running(redis_url, None, price=70.0) as risk:
        with risk.desk.book.holdings() as held:
            assert held.accounts[SESSIONS].held == {("s1", "AAPL"): Decimal(250)}
        assert risk.desk.halted(SESSIONS)
        assert isinstance(judged(risk, SESSIONS, "70"), Refused)


def test_nothing_is_approved_until_the_database_has_told_what_was_before(
    redis_url: str, own_postgres: EmbeddedPostgres
) -> None:
    migrate(own_postgres.url)
    own_postgres.kill()
    with running(redis_url, own_postgres.url) as risk:
        risk.desk.open(EXECUTION, RiskParams(), BOOKS)
        for account in (EXECUTION, SESSIONS):
            verdict = judged(risk, account)
            assert isinstance(verdict, Refused)
            assert verdict.rule is Rule.MISSING_DATA
        assert risk.keeper.reason is not None
        own_postgres.restart()
        eventually(lambda: isinstance(judged(risk), Approved), 20, "executions may trade")
        assert isinstance(judged(risk, SESSIONS), Approved)
        eventually(lambda: risk.keeper.reason is None, message="the keeper has nothing to complain of")


def test_the_kill_switch_is_asked_before_everything_else(redis_url: str) -> None:
    with running(redis_url, None) as risk, redis.Redis.from_url(redis_url) as client:
        SwitchBoard(client).halt("fire drill", "")
        eventually(lambda: risk.switch.reason == "fire drill", message="the halt is known")
        verdict = risk.desk.check(order("SELL", price="NaN"), SESSIONS)
        assert isinstance(verdict, Refused)
        assert verdict.reason == "halted: fire drill"
