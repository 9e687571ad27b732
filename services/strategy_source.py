"""Where a strategy id leads: to a class known by name, or to a row of the catalogue that configures one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from models.errors import StrategyRejected
from services.db_client import Database
from services.freezes.suspects import Suspects
from strategies.base_strategy import BaseStrategy
from strategies.registry import StrategyRegistry
from strategies.rule_file import read_rules
from strategies.rule_strategy import strategy_of

STORED_RULES = "RULES"
"""The `strategy_type` of rows that hold a file of rules themselves."""

CATALOGUE_ROW = """
    SELECT strategy_type, parameters, python_code IS NOT NULL, is_active
    FROM strategies WHERE strategy_id = %s
"""


@dataclass(frozen=True)
class StrategyRecipe:
    """What to build: a class and the parameters to give it."""

    strategy_class: type[BaseStrategy]
    parameters: Mapping[str, Any]

    def build(self, strategy_id: str, symbol: str, session_id: str | None) -> BaseStrategy:
        """Make the instance. Raises StrategyRejected when the parameters do not fit."""
        return self.strategy_class.build(strategy_id, symbol, session_id, self.parameters)


class StrategySource:
    """Finds the strategy that an id of a control event means; `suspects` are those that must not start."""

    def __init__(
        self,
        registry: StrategyRegistry,
        database: Database | None,
        default_strategy: str,
        suspects: Suspects | None = None,
    ) -> None:
        self._suspects = suspects or Suspects()
        self._registry = registry
        self._database = database
        self._default_strategy = default_strategy

    def find(self, strategy_id: str, symbol: str) -> StrategyRecipe:
        """Return what to build for this id.

        A UUID names a row of the table `strategies`; `strat_{symbol}` the default strategy; anything else
        a class. Raises StrategyRejected when there is none, StorageUnavailable when that cannot be known now,
        and StrategyTimedOut for a suspect.
        """
        recipe = self._recipe(strategy_id, symbol)
        self._suspects.check(recipe.strategy_class, strategy_id)
        return recipe

    def _recipe(self, strategy_id: str, symbol: str) -> StrategyRecipe:
        if strategy_id == default_strategy_id(symbol):
            return StrategyRecipe(self._registry.get(self._default_strategy), {})
        if _is_uuid(strategy_id):
            return self._from_catalogue(strategy_id)
        return StrategyRecipe(self._registry.get(strategy_id), {})

    def _from_catalogue(self, strategy_id: str) -> StrategyRecipe:
        if self._database is None:
            raise StrategyRejected(
                f"strategy {strategy_id} is a row of the catalogue: set DATABASE_URL to reach it"
            )
        with self._database.transaction() as cursor:
            cursor.execute(CATALOGUE_ROW, (strategy_id,))
            row = cursor.fetchone()
        if row is None:
            raise StrategyRejected(f"no strategy {strategy_id} in the catalogue")
        strategy_type, parameters, has_code, is_active = row
        if not is_active:
            raise StrategyRejected(f"strategy {strategy_id} is switched off (is_active is false)")
        if has_code:
            raise StrategyRejected(
                f"strategy {strategy_id} holds Python code, which this version does not run"
            )
        if not isinstance(parameters, Mapping):
            raise StrategyRejected(f"the parameters of strategy {strategy_id} are not a JSON object")
        if strategy_type == STORED_RULES:
            return _from_rules(parameters)
        return StrategyRecipe(self._registry.get(strategy_type), parameters)


def _from_rules(stored: Mapping[str, Any]) -> StrategyRecipe:
    """Return what to build for a row whose parameters hold a file of rules, and values for its parameters."""
    text, values = stored.get("rules"), stored.get("parameters", {})
    if not isinstance(text, str) or not isinstance(values, Mapping):
        raise StrategyRejected('parameters must be {"rules": "the text of the file", "parameters": {…}}')
    return StrategyRecipe(strategy_of(read_rules(text)), values)


def default_strategy_id(symbol: str) -> str:
    """Return the id that the default strategy has where a control event names none."""
    return f"strat_{symbol}"


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
