"""What can go wrong within an engine's run: it costs that run alone, and is a row with its reason."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.db_client import Database
from services.history.engine import crew
from tests.engine_tables import write_universe
from tests.integration.engine_world import query, run_engine

TROUBLE = '''
import os

from strategies.base_strategy import BaseStrategy


class Trouble(BaseStrategy):
    """Does what its symbol asks for."""

    name = "{name}"

    def on_bar(self, bar):
        if bar.symbol == "{symbol}":
            {trouble}

    def on_trade(self, trade):
        pass
'''
HANGS = """
from strategies.base_strategy import BaseStrategy

TIMES = {"S000": "making", "S001": "starting", "S002": "told"}


class Hangs(BaseStrategy):
    name = "hangs"

    def __init__(self, *given):
        super().__init__(*given)
        self.hang("making")

    def on_start(self):
        self.hang("starting")

    def on_bar(self, bar):
        self.hang("told")

    def on_trade(self, trade):
        pass

    def hang(self, when):
        if when == TIMES.get(self.symbol, "making"):
            while True:
                pass
"""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_universe(tmp_path / "bars.csv", 3)


def test_a_strategy_that_raises_hangs_or_dies_costs_its_own_run_alone(
    database: Database, data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for name, symbol, trouble in (
        ("raises", "S000", "raise ZeroDivisionError('no luck')"),
        ("hangs", "S001", "while True: pass"),
        ("dies", "S002", "os._exit(3)"),
    ):
        text = TROUBLE.format(name=name, symbol=symbol, trouble=trouble)
        (folder / f"{name}.py").write_text(text)
    summary = run_engine(database, data, "raises,hangs,dies,mock", folder=folder, seconds=1.0)
    assert (summary.status, summary.progress.done) == ("finished", 12)
    assert [(strategy, symbol) for strategy, symbol, _ in summary.failures] == [
        ("raises", "S000"),
        ("hangs", "S001"),
        ("dies", "S002"),
    ]
    raised, hung, died = (reason for _, _, reason in summary.failures)
    assert "no luck" in raised
    assert hung == "it took longer than 1 s"
    assert died == "its process ended with 3"
    mended = tmp_path / "own" / "raises.py"
    resumed = run_engine(database, data, "raises,hangs,dies,mock", folder=folder, seconds=1.0, resume=True)
    assert (resumed.progress.reused, resumed.progress.done) == (12, 0)
    again = run_engine(database, data, "raises,mock", folder=folder)
    assert (again.progress.reused, again.progress.done, len(again.failures)) == (5, 1, 1)
    mended.write_text(mended.read_text().replace("raise ZeroDivisionError('no luck')", "pass"))
    assert run_engine(database, data, "raises,mock", folder=folder).failures == []


def test_what_hangs_for_a_symbol_is_ended_there_with_the_line_where_it_was(
    database: Database, data: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "hangs.py").write_text(HANGS)
    summary = run_engine(database, data, "hangs,mock", folder=own, call_seconds=0.3)
    assert (summary.status, summary.progress.done) == ("finished", 6)
    line = HANGS[: HANGS.index("while")].count("\n") + 1
    too_long = f"a call took longer than 0.3 s, in hang, line {line}"
    assert summary.failures == [
        ("hangs", "S000", f"hangs cannot be made: {too_long}"),
        ("hangs", "S001", f"hangs cannot be started: {too_long}"),
        ("hangs", "S002", too_long),
    ]
    assert query(database, "SELECT symbol, reason FROM backtest_runs WHERE status = 'failed'") == [
        (symbol, reason) for _, symbol, reason in summary.failures
    ]
    again = run_engine(database, data, "hangs,mock", folder=own, call_seconds=0.4, resume=True)
    assert again.progress.reused == 6  # how long a call may take is no part of what a result is


def test_a_strategy_that_hangs_in_every_call_is_given_up_after_a_while(
    database: Database, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "MOST_LOST", 2)
    own = tmp_path / "own"
    own.mkdir()
    (own / "hangs.py").write_text(HANGS.replace('"making", "S001": "starting"', '"told", "S001": "told"'))
    summary = run_engine(database, data, "hangs,mock", folder=own, call_seconds=0.3)
    assert [reason.partition(",")[0] for _, _, reason in summary.failures] == [
        "a call took longer than 0.3 s",
        "a call took longer than 0.3 s",
        crew.GIVEN_UP.partition(",")[0],
    ]


def test_figures_that_no_number_holds_are_undefined_and_keep_nothing_else_from_being_written(
    database: Database, data: Path
) -> None:
    text = data.read_text().splitlines(keepends=True)
    *_, last = (place for place, line in enumerate(text) if line.startswith("S001"))
    text[last] = f"S001,{text[last].split(',')[1]},100,1e308,100,1e308,1000\n"
    data.write_text("".join(text))
    summary = run_engine(database, data, "buy_and_hold")
    found = query(
        database, "SELECT symbol, status, total_return IS NULL, reason FROM backtest_runs ORDER BY symbol"
    )
    assert (summary.status, len(found)) == ("finished", 3)
    assert found == [
        ("S000", "done", False, None),
        ("S001", "done", True, None),
        ("S002", "done", False, None),
    ]


def test_a_strategy_that_never_ends_a_run_is_given_up_after_a_while(
    database: Database, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "MOST_LOST", 1)
    (tmp_path / "own").mkdir()
    text = TROUBLE.format(name="dies", symbol="any", trouble="pass").replace(
        "if bar", "os._exit(3)\n        if bar"
    )
    (tmp_path / "own" / "dies.py").write_text(text)
    summary = run_engine(database, data, "dies,mock", folder=tmp_path / "own")
    reasons = Counter(reason for _, _, reason in summary.failures)
    assert reasons == {"its process ended with 3": 1, crew.GIVEN_UP: 2}
    assert query(database, "SELECT count(*) FROM backtest_runs WHERE status = 'done'") == [(3,)]
