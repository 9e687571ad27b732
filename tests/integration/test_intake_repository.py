"""The catalogue as the intake writes it: newer wins, twice is once, and one bad row sinks no batch."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import psycopg2
import pytest

from models.discovered import DiscoveredStrategy, strategy_hash
from models.errors import StorageUnavailable
from services.db_client import Database
from services.intake.repository import BulkResult, StrategyRepository
from tests.discoveries import NOW
from tests.support import free_port


@pytest.fixture
def repository(database_url: str) -> Iterator[StrategyRepository]:
    database = Database(database_url)
    yield StrategyRepository(database)
    database.close()


@pytest.fixture
def cursor(database_url: str) -> Iterator[Any]:
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    yield connection.cursor()
    connection.close()


def found(number: int, *, score: float = 0.5, days: float = 0, **changes: Any) -> DiscoveredStrategy:
    """Evaluation of strategy `number`, so many days after the first one."""
    parameters = {"period": number}
    whole = DiscoveredStrategy(
        symbol="AAPL",
        strategy_type="SMA_RSI",
        parameters=parameters,
        current_score=score,
        strategy_hash=strategy_hash("AAPL", "SMA_RSI", parameters),
        evaluated_at=NOW + timedelta(days=days),
        metrics={"win_rate": score},
    )
    return msgspec.structs.replace(whole, **changes)


def test_what_is_new_is_inserted_and_once_more_changes_nothing(repository: StrategyRepository) -> None:
    batch = [found(number) for number in range(50)]
    assert repository.bulk_insert_strategies(batch) == BulkResult(inserted=50)
    assert repository.bulk_insert_strategies(batch) == BulkResult(unchanged=50)
    assert repository.bulk_insert_strategies([]) == BulkResult()


def test_a_newer_evaluation_replaces_an_older_one_and_never_the_other_way(
    repository: StrategyRepository, cursor: Any
) -> None:
    repository.bulk_insert_strategies([found(1, score=0.5, days=1), found(2, score=0.5, days=1)])
    newer = found(1, score=0.9, days=1.001, metrics=None, discovery_symbol="MSFT", discovery_end_time=NOW)
    older = found(2, score=0.9, days=0.999)
    assert repository.bulk_insert_strategies([newer, older]) == BulkResult(updated=1, unchanged=1)
    cursor.execute("SELECT parameters->'period', current_score, metrics, discovery_symbol FROM strategies")
    assert sorted(cursor.fetchall()) == [(1, 0.9, None, "MSFT"), (2, 0.5, {"win_rate": 0.5}, None)]


def test_of_several_evaluations_in_one_batch_the_newest_counts(
    repository: StrategyRepository, cursor: Any
) -> None:
    batch = [found(1, score=score, days=days) for score, days in ((0.1, 0), (0.3, 2), (0.2, 1), (0.4, 2))]
    assert repository.bulk_insert_strategies(batch) == BulkResult(inserted=1, unchanged=3)
    cursor.execute("SELECT current_score FROM strategies")
    assert cursor.fetchall() == [(0.3,)]


def test_a_row_without_a_time_is_older_than_everything(repository: StrategyRepository, cursor: Any) -> None:
    repository.bulk_insert_strategies([found(1)])
    cursor.execute("UPDATE strategies SET last_evaluated_at = NULL")
    assert repository.bulk_insert_strategies([found(1, score=0.7)]).updated == 1


def test_what_the_database_refuses_is_refused_alone(repository: StrategyRepository, cursor: Any) -> None:
    cursor.execute(
        "ALTER TABLE strategies ADD CONSTRAINT no_sevens CHECK (parameters->>'period' NOT LIKE '%7%')"
    )
    result = repository.bulk_insert_strategies([found(number) for number in range(100)])
    sevens = {number for number in range(100) if "7" in str(number)}
    assert (result.inserted, len(result.refused)) == (100 - len(sevens), len(sevens))
    assert {each.strategy.parameters["period"] for each in result.refused} == sevens
    assert "no_sevens" in result.refused[0].reason


def test_every_text_comes_back_as_it_was(repository: StrategyRepository, cursor: Any) -> None:
    parameters = {"\\N": 'a\tb\nc\\d"\r', "ü\u2028": ["\\", "\\.", "%s {}"], "big": 1e20, "int": 2**70}
    strategy = found(1, parameters=parameters, symbol="BTC/USD", metrics={"\\t": 0.1})
    repository.bulk_insert_strategies([strategy])
    cursor.execute("SELECT symbol, parameters, metrics FROM strategies")
    assert cursor.fetchone() == ("BTC/USD", parameters, {"\\t": 0.1})


def test_two_writers_with_the_same_strategies_do_not_lock_each_other_out(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(2)]
    batches = [[found(number, days=turn) for number in range(300)] for turn in range(4)]

    def write(order: int) -> int:
        repository = StrategyRepository(databases[order])
        return sum(
            repository.bulk_insert_strategies(each[:: -1 if order else 1]).inserted for each in batches
        )

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(write, (0, 1))) == 300
    for each in databases:
        each.close()


def test_strategies_are_found_by_what_a_person_asks_for(repository: StrategyRepository, cursor: Any) -> None:
    repository.bulk_insert_strategies(
        [found(number, score=number / 10) for number in range(5)]
        + [found(number, symbol="MSFT", strategy_type="EMA_MACD", score=0.9) for number in (7, 8)]
    )
    cursor.execute("UPDATE strategies SET is_active = false WHERE parameters->>'period' = '8'")
    assert [each.parameters["period"] for each in repository.get_top_strategies(2)] == [7, 4]
    assert [each.parameters["period"] for each in repository.get_strategies_by_symbol("AAPL", 3)] == [4, 3, 2]
    assert [each.symbol for each in repository.get_strategies_by_type("EMA_MACD")] == ["MSFT"]
    assert [each.parameters["period"] for each in repository.find(symbol="AAPL", min_score=0.3)] == [4, 3]
    top = repository.get_top_strategies(1)[0]
    assert repository.get_strategy(top.strategy_id) == top
    assert repository.get_strategy(uuid4()) is None


def test_an_unreachable_database_is_said_to_be_unavailable() -> None:
    database = Database(f"postgresql://x@127.0.0.1:{free_port()}/x", connect_timeout=0.5)
    with pytest.raises(StorageUnavailable):
        StrategyRepository(database).bulk_insert_strategies([found(1)])
