"""The ids of results: the same for the same work, others for any other."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from services.history.engine.plan import EngineOptions, StrategyPlan, batch_id, plan_strategy, run_plans
from services.history.engine.universe import SymbolSlice
from strategies.mock_strategy import MockStrategy
from strategies.registry import StrategyRegistry
from strategies.sector_rotation import SectorRotation
from strategies.sma_cross import SmaCross

PLAN = StrategyPlan("mock", {"every": 5}, "code")
SLICE = SymbolSlice("AAPL", "1d", ((0, 48),), "data")
OPTIONS = EngineOptions()
OWN = """
from numbers_of_mine import FAST
from strategies.base_strategy import BaseStrategy


class Own(BaseStrategy):
    fast = FAST

    def on_bar(self, bar): ...
    def on_trade(self, trade): ...
"""


def run_id(
    plan: StrategyPlan = PLAN, each: SymbolSlice = SLICE, options: EngineOptions = OPTIONS, of: str = "all"
) -> str:
    [planned] = run_plans([plan], each, of, options)
    return planned.run_id


@pytest.mark.parametrize(
    "other",
    [
        run_id(replace(PLAN, name="mock2")),
        run_id(replace(PLAN, parameters={"every": 6})),
        run_id(replace(PLAN, code_hash="changed")),
        run_id(each=replace(SLICE, symbol="MSFT")),
        run_id(each=replace(SLICE, data_hash="changed")),
        run_id(each=replace(SLICE, timeframe="1h")),
        run_id(options=replace(OPTIONS, fee_bps=1.0)),
        run_id(options=replace(OPTIONS, repairs=("sort",))),
    ],
)
def test_whatever_a_result_depends_on_changes_its_id(other: str) -> None:
    assert other != run_id()


def test_where_rows_stand_how_long_a_run_may_take_and_other_symbols_do_not() -> None:
    assert run_id(each=replace(SLICE, pieces=((96, 24), (0, 24)))) == run_id()
    assert run_id(options=replace(OPTIONS, seconds=1.0)) == run_id()
    assert run_id(of="changed") == run_id()


def test_what_watches_others_depends_on_the_data_of_all() -> None:
    watching = replace(PLAN, watches=True)
    assert run_id(watching, of="changed") != run_id(watching)
    assert plan_strategy(SectorRotation, {}).watches
    assert not plan_strategy(MockStrategy, {}).watches


def test_a_batch_is_the_same_for_the_same_strategies_data_and_rules() -> None:
    first = batch_id([PLAN], "data", OPTIONS)
    assert batch_id([PLAN], "data", replace(OPTIONS, seconds=1.0)) == first
    assert batch_id([PLAN, replace(PLAN, name="other")], "data", OPTIONS) != first
    assert batch_id([PLAN], "changed", OPTIONS) != first
    some = batch_id([PLAN], "data", OPTIONS, ["AAPL", "MSFT"])
    assert some not in {first, batch_id([PLAN], "data", OPTIONS, ["AAPL"])}
    assert batch_id([PLAN], "data", OPTIONS, ["MSFT", "AAPL", "MSFT"]) == some


def test_the_code_of_a_strategy_is_its_own() -> None:
    mock, cross = plan_strategy(MockStrategy, {}), plan_strategy(SmaCross, {})
    assert mock.code_hash != cross.code_hash
    assert plan_strategy(MockStrategy, {"every": 9}).code_hash == mock.code_hash


def test_a_change_of_what_a_strategy_imports_is_a_change_of_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    numbers = tmp_path / "numbers_of_mine.py"
    numbers.write_text("FAST = 5\n")
    registry = StrategyRegistry()
    registry.load_folder(tmp_path)
    before = plan_strategy(registry.get("own"), {}).code_hash
    assert plan_strategy(registry.get("own"), {}).code_hash == before
    numbers.write_text("FAST = 6\n")
    assert plan_strategy(registry.get("own"), {}).code_hash != before
