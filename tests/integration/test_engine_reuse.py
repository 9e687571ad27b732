"""What a run of the engine computes again where something changed: all of that, and nothing else."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from services.db_client import Database
from services.history.engine.batch import Summary
from tests.engine_tables import write_universe
from tests.integration.engine_world import run_engine

STRATEGY = """
from amounts_of_{name} import AMOUNT
from strategies.base_strategy import BaseStrategy
from strategies.parameters import Parameter, Parameters


class Own(BaseStrategy):
    name = "{name}"
    parameters = Parameters(bought=Parameter(3))
    seen = 0

    def on_bar(self, bar):
        self.seen += 1
        if self.seen == self.parameters.bought:
            self.send_signal("BUY", bar.close, AMOUNT)

    def on_trade(self, trade):
        pass
"""
NAMES = ("first", "second")
SYMBOLS = ("S000", "S001", "S002")
EVERYTHING = {(name, symbol) for name in NAMES for symbol in SYMBOLS}


class Result(NamedTuple):
    """One strategy over one symbol, as the tables have it."""

    finished_at: object
    total_return: float
    signals: list[list[object]]


class World:
    """A folder of two strategies, a universe of three symbols, and where results go."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self.folder = folder / "own"
        self.folder.mkdir()
        self.data = write_universe(folder / "bars.csv", len(SYMBOLS))
        for name in NAMES:
            self.write(name, amount="1.0")

    def write(self, name: str, amount: str, extra: str = "") -> None:
        (self.folder / f"{name}.py").write_text(STRATEGY.format(name=name) + extra)
        (self.folder / f"amounts_of_{name}.py").write_text(f"AMOUNT = {amount}\n")

    def run(self, *params: str) -> tuple[Summary, dict[tuple[str, str], Result]]:
        """Run the engine; return what it said and all results of this batch."""
        summary = run_engine(self._database, self.data, ",".join(NAMES), folder=self.folder, params=params)
        with self._database.transaction() as cursor:
            cursor.execute(RESULTS, (summary.batch_id,))
            return summary, {(row[0], row[1]): Result(*row[2:]) for row in cursor.fetchall()}


RESULTS = """
    SELECT strategy, symbol, finished_at, total_return, (
        SELECT coalesce(json_agg(json_build_array(action, price, quantity, given_at) ORDER BY number), '[]')
        FROM backtest_signals WHERE run_id = run.run_id
    ) FROM backtest_runs AS run WHERE batch_id = %s
"""


@pytest.fixture
def world(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(sys, "path", sys.path.copy())  # the folder of one test is nothing to the next
    database = Database(database_url)
    yield World(database, tmp_path)
    database.close()
    for name in NAMES:
        sys.modules.pop(f"amounts_of_{name}", None)


def changed(
    before: dict[tuple[str, str], Result], after: dict[tuple[str, str], Result]
) -> set[tuple[str, str]]:
    """Return what was computed again, all with another outcome; the rest is as it was, to its time."""
    assert before.keys() == after.keys() == EVERYTHING
    again = {each for each in EVERYTHING if before[each].finished_at != after[each].finished_at}
    assert all(before[each].total_return != after[each].total_return for each in again)
    assert all(before[each] == after[each] for each in EVERYTHING - again)
    return again


def computed(summary: Summary) -> tuple[int, int]:
    return summary.progress.done, summary.progress.reused


def test_changed_code_computes_its_strategy_again_over_every_symbol(world: World) -> None:
    first, before = world.run()
    assert computed(first) == (6, 0)
    source = world.folder / "first.py"
    source.write_text(source.read_text().replace('"BUY", bar.close, AMOUNT', '"BUY", bar.close, 10 * AMOUNT'))

    summary, after = world.run()

    assert computed(summary) == (3, 3)
    assert changed(before, after) == {("first", symbol) for symbol in SYMBOLS}
    assert [after["first", symbol].signals[0][2] for symbol in SYMBOLS] == [10.0] * 3
    means = {each.strategy: each.mean_return for each in summary.ranking}
    assert means["first"] == pytest.approx(sum(after["first", symbol].total_return for symbol in SYMBOLS) / 3)


def test_a_change_of_what_it_imports_does_too(world: World) -> None:
    _, before = world.run()
    world.write("second", amount="2.00")

    summary, after = world.run()

    assert computed(summary) == (3, 3)
    assert changed(before, after) == {("second", symbol) for symbol in SYMBOLS}
    assert after["second", "S002"].signals[0][2] == 2.0


def test_changed_parameters_compute_their_strategy_again_and_old_ones_find_what_was_there(
    world: World,
) -> None:
    _, before = world.run()

    summary, after = world.run("first.bought=20")

    assert computed(summary) == (3, 3)
    assert changed(before, after) == {("first", symbol) for symbol in SYMBOLS}
    back, as_before = world.run()
    assert computed(back) == (0, 6)
    assert as_before == before


def test_a_changed_symbol_is_computed_again_by_every_strategy_alone(world: World) -> None:
    _, before = world.run()
    write_universe(world.data, len(SYMBOLS), last=5.0)

    summary, after = world.run()

    assert computed(summary) == (2, 4)
    assert changed(before, after) == {(name, "S000") for name in NAMES}


def test_a_comment_is_part_of_the_code_and_changes_no_result(world: World) -> None:
    _, before = world.run()
    world.write("second", amount="1.0", extra="# as before\n")

    summary, after = world.run()

    assert computed(summary) == (3, 3)
    assert all(before[each][1:] == after[each][1:] for each in EVERYTHING)
