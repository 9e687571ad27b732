"""What every store of risk states does: PostgreSQL, and Redis where there is none."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import redis

from models.errors import StorageConflict, StorageUnavailable
from services.db_client import Database
from services.risk.days import Day
from services.risk.saved import SavedAccount, SavedBooks
from services.risk.state_store import STATES, PostgresRiskStates, RedisRiskStates, RiskStates
from tests.integration.durable_outbox import execute
from tests.support import free_port

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)
DAY = Day(day=date(2026, 1, 28), opening=Decimal("-12.345678901234567890"), warned=True)
BOOKS = SavedBooks(
    cash=Decimal("-1000.01"),
    held=(("s1", "BTC/USD", Decimal("0.00000001")), ("s 'ü' %s", "AAPL", Decimal(-3))),
    prices={"BTC/USD": Decimal("68123.45"), "AAPL": Decimal(100)},
    open_orders=("o1", "o2"),
    counted=("o0",),
    resumed="r1",
)
HALTED = Day(day=DAY.day, opening=Decimal(0), halted="it lost too much", halted_at=NOON, warned=True)


@pytest.fixture(params=["postgres", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[RiskStates]:
    if request.param == "postgres":
        database = Database(request.getfixturevalue("database_url"))
        yield PostgresRiskStates(database)
        database.close()
    else:
        yield RedisRiskStates(request.getfixturevalue("redis_url"))


def found(store: RiskStates) -> dict[str, SavedAccount]:
    return {each.account: each for each in store.load()}


def test_what_was_saved_comes_back_to_the_last_digit(store: RiskStates) -> None:
    sessions = SavedAccount(account="sessions", day=DAY, books=BOOKS, saved_at=NOON)
    everything = SavedAccount(account="*", day=HALTED, saved_at=NOON)
    store.save([sessions, everything], [])
    assert found(store) == {"sessions": sessions, "*": everything}


def test_a_newer_state_takes_the_place_of_an_older_one_and_what_is_gone_is_forgotten(
    store: RiskStates,
) -> None:
    first, second = (SavedAccount(account=name, day=DAY, saved_at=NOON) for name in ("e1", "e2"))
    store.save([first, second], [])
    newer = SavedAccount(account="e2", day=HALTED, saved_at=NOON)
    store.save([newer], ["e1"])
    store.save([], ["e1"])
    assert found(store) == {"e2": newer}


def everything(day: Day, resumed: str | None = None) -> SavedAccount:
    return SavedAccount(account="*", day=day, books=SavedBooks(resumed=resumed), saved_at=NOON)


def test_a_halt_of_everything_outlasts_a_worker_that_has_not_halted(store: RiskStates) -> None:
    store.save([everything(HALTED, "r1")], [])
    store.save([everything(DAY, "r1")], [])
    assert found(store)["*"].day == HALTED


@pytest.mark.parametrize(
    "after",
    [
        everything(DAY, "r2"),
        everything(Day(day=DAY.day + timedelta(days=1), opening=Decimal(0)), "r1"),
        everything(Day(day=DAY.day, opening=Decimal(0), halted="more", halted_at=NOON), "r1"),
    ],
    ids=["a person resumed", "the next day", "another reason"],
)
def test_a_halt_of_everything_gives_way_to_what_comes_after_it(
    store: RiskStates, after: SavedAccount
) -> None:
    store.save([everything(HALTED, "r1")], [])
    store.save([after], [])
    assert found(store)["*"] == after


def test_halts_of_other_accounts_are_their_own_worker_s(store: RiskStates) -> None:
    for day in (HALTED, DAY):
        store.save([SavedAccount(account="sessions", day=day, saved_at=NOON)], [])
    assert found(store)["sessions"].day == DAY


def test_what_another_worker_measures_today_is_not_forgotten(database_url: str) -> None:
    database = Database(database_url)
    store = PostgresRiskStates(database)
    theirs = SavedAccount(account="e1", day=HALTED, saved_at=NOON)
    store.save([theirs], [])
    store.save([], ["e1"], HALTED.day)
    assert found(store) == {"e1": theirs}
    store.save([], ["e1"], HALTED.day + timedelta(days=1))
    assert found(store) == {}
    database.close()


def test_what_cannot_be_read_is_a_conflict(store: RiskStates, request: pytest.FixtureRequest) -> None:
    if isinstance(store, PostgresRiskStates):
        url = request.getfixturevalue("database_url")
        insert = "INSERT INTO risk_state (account, trading_day, opening_value, books, saved_at)"
        execute(url, f"""{insert} VALUES ('sessions', '2026-01-28', 0, '{{"cash": "?"}}', now())""")
    else:
        with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
            client.hset(STATES, "sessions", "{}")
    with pytest.raises(StorageConflict):
        store.load()


@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_a_store_that_is_away_is_unavailable(kind: str) -> None:
    port = free_port()
    store: RiskStates = RedisRiskStates(f"redis://127.0.0.1:{port}")
    if kind == "postgres":
        store = PostgresRiskStates(Database(f"postgresql://nobody@127.0.0.1:{port}/none"))
    with pytest.raises(StorageUnavailable):
        store.load()
    with pytest.raises(StorageUnavailable):
        store.save([SavedAccount(account="sessions", day=DAY)], [])
