"""Where a strategy id leads: to a class known by name, or to a row of the catalogue that configures one."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from models.errors import StrategyRejected
from models.session import SessionIdentity
from services.db_client import Database
from services.freezes.suspects import Suspects
from services.sandbox.protocol import LONGEST_SOURCE, Load
from services.sandbox.ward import Ward
from strategies.base_strategy import BaseStrategy
from strategies.dynamic_strategy import DynamicStrategy
from strategies.registry import StrategyRegistry
from strategies.rule_strategy import STORED_RULES, stored_rules

CATALOGUE_ROW = """
    SELECT strategy_type, parameters, python_code, is_active
    FROM strategies WHERE strategy_id = %s
"""


@dataclass(frozen=True)
class StrategyRecipe:
    """What to build: a class and the parameters to give it."""

    strategy_class: type[BaseStrategy]
    parameters: Mapping[str, Any]

    def build(self, identity: SessionIdentity, waiting: Collection[str]) -> BaseStrategy:
        """Make the instance of a session. Raises StrategyRejected when the parameters do not fit."""
        del waiting
        return self.strategy_class.build(
            identity.strategy_id, identity.symbol, identity.session_id, self.parameters
        )


@dataclass(frozen=True)
class SealedRecipe:
    """What to run in a sealed process: a source, its parameters, and who opens such processes."""

    source: str
    parameters: Mapping[str, Any]
    ward: Ward

    def build(self, identity: SessionIdentity, waiting: Collection[str]) -> BaseStrategy:
        """Start a process for a session, whose signals that are `waiting` are answered later.

        Raises StrategyError when the source makes no strategy or the session is quarantined, ConfigError
        when no stored code can run here.
        """
        link = self.ward.open(self.load(identity, waiting))
        return DynamicStrategy(identity.strategy_id, identity.symbol, identity.session_id, link)

    def load(self, identity: SessionIdentity, waiting: Collection[str]) -> Load:
        """Return what a process is told to begin with."""
        return Load(
            source=self.source,
            session_key=identity.key,
            strategy_id=identity.strategy_id,
            symbol=identity.symbol,
            session_id=identity.session_id,
            parameters=dict(self.parameters),
            open_signals=tuple(waiting),
        )


Recipe = StrategyRecipe | SealedRecipe


class StrategySource:
    """Finds the strategy that an id of a control event means; `suspects` are those that must not start."""

    def __init__(
        self,
        registry: StrategyRegistry,
        database: Database | None,
        default_strategy: str,
        suspects: Suspects | None = None,
        ward: Ward | None = None,
    ) -> None:
        self._ward = ward
        self._suspects = suspects or Suspects()
        self._registry = registry
        self._database = database
        self._default_strategy = default_strategy

    def find(self, strategy_id: str, symbol: str) -> Recipe:
        """Return what to build for this id.

        A UUID names a row of the table `strategies`; `strat_{symbol}` the default strategy; anything else
        a class. Raises StrategyRejected when there is none, StorageUnavailable when that cannot be known now,
        and StrategyTimedOut for a suspect.
        """
        recipe = self._recipe(strategy_id, symbol)
        if isinstance(recipe, StrategyRecipe):
            self._suspects.check(recipe.strategy_class, strategy_id)
        return recipe

    def _recipe(self, strategy_id: str, symbol: str) -> Recipe:
        if strategy_id == default_strategy_id(symbol):
            return StrategyRecipe(self._registry.get(self._default_strategy), {})
        if _is_uuid(strategy_id):
            return self._from_catalogue(strategy_id)
        return StrategyRecipe(self._registry.get(strategy_id), {})

    def _from_catalogue(self, strategy_id: str) -> Recipe:
        if self._database is None:
            raise StrategyRejected(
                f"strategy {strategy_id} is a row of the catalogue: set DATABASE_URL to reach it"
            )
        with self._database.transaction() as cursor:
            cursor.execute(CATALOGUE_ROW, (strategy_id,))
            row = cursor.fetchone()
        if row is None:
            raise StrategyRejected(f"no strategy {strategy_id} in the catalogue")
        strategy_type, parameters, source, is_active = row
        if not is_active:
            raise StrategyRejected(f"strategy {strategy_id} is switched off (is_active is false)")
        if not isinstance(parameters, Mapping):
            raise StrategyRejected(f"the parameters of strategy {strategy_id} are not a JSON object")
        if source is not None:
            return self._sealed(strategy_id, source, parameters)
        if strategy_type == STORED_RULES:
            return StrategyRecipe(*stored_rules(parameters))
        return StrategyRecipe(self._registry.get(strategy_type), parameters)

    def _sealed(self, strategy_id: str, source: str, parameters: Mapping[str, Any]) -> SealedRecipe:
        if self._ward is None:
            raise StrategyRejected(f"strategy {strategy_id} holds Python code, which nobody runs here")
        if len(source) > LONGEST_SOURCE:
            raise StrategyRejected(
                f"the code of strategy {strategy_id} has {len(source)} characters, "
                f"and at most {LONGEST_SOURCE} run"
            )
        return SealedRecipe(source, parameters, self._ward)


def default_strategy_id(symbol: str) -> str:
    """Return the id that the default strategy has where a control event names none."""
    return f"strat_{symbol}"


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
