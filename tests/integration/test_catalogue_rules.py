"""Rows of the catalogue that are rules: found by their UUID as a control event names them, and run."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from models.errors import StrategyRejected
from models.session import SessionIdentity
from services.db_client import Database
from services.strategy_source import StrategySource
from strategies.base_strategy import BaseStrategy
from strategies.registry import StrategyRegistry, shipped_rules
from strategies.rule_strategy import RuleStrategy
from tests.sample_rules import RULES
from tests.unit.strategy_driver import FIRST, bars_of, play


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def started(database: Database, strategy_type: str, parameters: dict[str, Any]) -> BaseStrategy:
    """Store a row, and make the strategy that a control event with its id means."""
    with database.transaction() as cursor:
        cursor.execute(
            """INSERT INTO strategies (symbol, strategy_type, parameters, current_score, strategy_hash)
               VALUES ('AAPL', %s, %s, 0.5, %s) RETURNING strategy_id::text""",
            (strategy_type, json.dumps(parameters), uuid4().hex),
        )
        row = cursor.fetchone()
    assert row is not None
    identity = SessionIdentity(
        key="session",
        symbol="AAPL",
        asset_type="stock",
        strategy_id=row[0],
        session_id="session",
        started_at=FIRST,
    )
    recipe = StrategySource(StrategyRegistry(), database, "mock").find(row[0], "AAPL")
    return recipe.build(identity, ())


def test_a_row_of_every_discovered_type_runs_with_its_own_parameters(database: Database) -> None:
    for cls in shipped_rules():
        highest = {name: each.maximum for name, each in cls.parameters.declared.items() if name != "cash"}
        strategy = started(database, cls.name, highest)
        assert isinstance(strategy, cls)
        assert {name: strategy.parameters[name] for name in highest} == highest


def test_a_row_that_brings_its_rules_trades_by_them(database: Database) -> None:
    strategy = started(database, "RULES", {"rules": RULES, "parameters": {"level": 20}})
    assert isinstance(strategy, RuleStrategy)
    orders = [(number, action) for number, action, *_ in play(strategy, bars_of([15, 21, 19]))]
    assert orders == [(1, "BUY"), (2, "SELL")]


@pytest.mark.parametrize(
    ("strategy_type", "parameters", "told"),
    [
        ("SMA_RS", {}, "did you mean 'SMA_RSI'"),
        ("SMA_RSI", {"rsiPeriod": 99}, "rsiPeriod is 99; it must be at most 21"),
        ("RULES", {"rules": RULES.replace("close > level", "close > levl")}, "line 5: entry, column 9"),
        ("RULES", {"rules": RULES, "parameters": {"level": 99}}, "level is 99; it must be at most 50"),
    ],
)
def test_a_row_that_cannot_run_says_why(
    database: Database, strategy_type: str, parameters: dict[str, Any], told: str
) -> None:
    with pytest.raises(StrategyRejected) as refused:
        started(database, strategy_type, parameters)
    assert told in str(refused.value)
