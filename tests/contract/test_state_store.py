"""What every store of states does: PostgreSQL, Redis, and the one in memory that tests use."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis

from models.errors import StorageConflict, StorageUnavailable
from models.position import Position
from services.db_client import Database
from services.embedded import EmbeddedPostgres
from services.state_store import STATES, PostgresStates, RedisStates, StateStore
from tests.integration.durable_outbox import execute
from tests.sample_states import NOON, saved
from tests.state_keeping import MemoryStates
from tests.support import free_port


@pytest.fixture(params=["postgres", "redis", "memory"])
def store(request: pytest.FixtureRequest) -> Iterator[StateStore]:
    if request.param == "postgres":
        database = Database(request.getfixturevalue("database_url"))
        yield PostgresStates(database)
        database.close()
    elif request.param == "redis":
        yield RedisStates(request.getfixturevalue("redis_url"))
    else:
        yield MemoryStates()


def test_what_was_saved_comes_back_as_it_was(store: StateStore) -> None:
    state = saved(key="btc/usd 'ü' %s", seconds=0.000001)
    store.save([state])
    assert store.load(state.session_key) == state


def test_a_session_that_saved_nothing_has_no_state(store: StateStore) -> None:
    store.save([saved("s1")])
    assert store.load("s2") is None


def test_a_newer_state_takes_the_place_of_an_older_one(store: StateStore) -> None:
    store.save([saved(seconds=0)])
    newer = saved(seconds=0.5, state=None, symbol="MSFT", position=Position(), open_signals=(), last_bars={})
    store.save([newer])
    assert store.load("s1") == newer


def test_an_older_state_that_arrives_late_changes_nothing(store: StateStore) -> None:
    newer = saved(seconds=0.000002)
    store.save([newer])
    store.save([saved(seconds=0.000001, state="{}"), saved("s2", seconds=-5)])
    assert store.load("s1") == newer
    assert store.load("s2") == saved("s2", seconds=-5)


def test_a_state_under_an_earlier_lease_changes_nothing_however_late_it_was_taken(store: StateStore) -> None:
    later = saved(seconds=0, fence=1_770_000_000_000_002)
    store.save([saved(seconds=5, fence=1_770_000_000_000_001)])
    store.save([later])
    store.save([saved(seconds=9, state="{}", fence=1_770_000_000_000_001)])
    assert store.load("s1") == later


def test_saving_the_same_again_is_no_error(store: StateStore) -> None:
    for _ in range(2):
        store.save([saved()])
    assert store.load("s1") == saved()


@pytest.mark.parametrize(
    "given",
    [
        {"large": 1e22, "small": 5e-324, "third": 1 / 3, "negative": -0.0, "whole": 100.0, "int": 10**30},
        {"b": 1, "a": {"": [None, True, "\x00", "é", "\u2028", "\\u0000"]}},
        {"long": "x" * 60_000},
    ],
)
def test_state_is_kept_to_the_last_character(store: StateStore, given: dict[str, object]) -> None:
    text = json.dumps(given, ensure_ascii=False)
    store.save([saved(state=text)])
    loaded = store.load("s1")
    assert loaded is not None
    assert loaded.state == text


def test_a_thousand_states_are_saved_at_once(store: StateStore) -> None:
    store.save([saved(f"s{number}") for number in range(1_000)])
    assert store.load("s999") == saved("s999")


def test_redis_that_is_away_is_unavailable() -> None:
    store = RedisStates(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(StorageUnavailable):
        store.load("s1")
    with pytest.raises(StorageUnavailable):
        store.save([saved()])


def test_postgres_that_is_away_is_unavailable(own_postgres: EmbeddedPostgres) -> None:
    database = Database(own_postgres.url)
    store = PostgresStates(database)
    own_postgres.kill()
    with pytest.raises(StorageUnavailable):
        store.load("s1")
    with pytest.raises(StorageUnavailable):
        store.save([saved()])
    database.close()


@pytest.mark.parametrize("entry", ["nonsense", "[]", "{}", '{"saved_at": 7}'])
def test_an_entry_that_somebody_else_wrote_is_a_conflict_and_can_be_overwritten(
    redis_url: str, entry: str
) -> None:
    store = RedisStates(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.hset(STATES, "s1", entry)
    with pytest.raises(StorageConflict):
        store.load("s1")
    store.save([saved()])
    assert store.load("s1") == saved()


def test_states_of_sessions_that_ended_long_ago_are_pruned_from_the_table(database_url: str) -> None:
    database = Database(database_url)
    store, long_ago = PostgresStates(database), NOON - timedelta(days=1)
    keys = ("ended", "runs", "stopped lately", "present", "without a row")
    store.save([*(saved(key, saved_at=long_ago) for key in keys), saved("young", saved_at=NOON)])
    execute(
        database_url,
        """
        INSERT INTO users (user_id, username) VALUES ('u1', 'alice');
        INSERT INTO sessions (session_id, strategy_id, user_id, symbol, type, status, ended_at) VALUES
            ('ended', 'mock', 'u1', 'AAPL', 'stock', 'STOPPED', '2026-01-27 12:00Z'),
            ('runs', 'mock', 'u1', 'AAPL', 'stock', 'RUNNING', NULL),
            ('stopped lately', 'mock', 'u1', 'AAPL', 'stock', 'STOPPED', '2026-01-28 13:00Z')
        """,
    )
    assert store.prune(NOON, {"present"}) == 2
    left = [key for key in (*keys, "young") if store.load(key) is not None]
    assert left == ["runs", "stopped lately", "present", "young"]
    assert store.prune(NOON, {"present"}) == 0
    database.close()
