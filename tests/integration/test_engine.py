"""The engine over a small universe: what it writes, what it does not do twice, and what cannot stop it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from threading import Event
from typing import Any

import pytest
from msgspec.structs import asdict
from pyarrow import parquet

from models.errors import ConfigError
from services.db_client import Database
from services.history.backtest import run
from services.history.bars import read_bars
from services.history.engine import crew
from services.history.engine.batch import Progress
from services.history.engine.notifications import Notifications
from services.history.options import BacktestOptions
from strategies.sma_cross import SmaCross
from tests.engine_tables import write_universe
from tests.integration.engine_world import run_engine, tables

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


def query(database: Database, text: str) -> list[tuple[object, ...]]:
    with database.transaction() as cursor:
        cursor.execute(text)
        return list(cursor.fetchall())


def test_every_strategy_runs_over_every_symbol_and_is_ranked(database: Database, data: Path) -> None:
    summary = run_engine(database, data)
    assert (summary.status, summary.progress.done, summary.failures) == ("finished", 6, [])
    assert query(database, "SELECT strategy, symbol, bars FROM backtest_runs ORDER BY 1, 2") == [
        (strategy, symbol, 60) for strategy in ("mock", "sma_cross") for symbol in ("S000", "S001", "S002")
    ]
    [counted] = query(
        database,
        "SELECT (SELECT count(*) FROM backtest_signals), sum(signals), max(signals) FROM backtest_runs",
    )
    assert counted[0] == counted[1]
    [(best, mean, average)] = query(
        database,
        "SELECT strategy, mean_sharpe, (SELECT avg(sharpe_ratio) FROM backtest_runs r "
        "WHERE r.strategy = p.strategy) FROM backtest_performance p WHERE place = 1",
    )
    assert best == summary.ranking[0].strategy
    assert mean == pytest.approx(average)


def test_the_performance_of_a_strategy_is_that_of_its_runs(database: Database, data: Path) -> None:
    write_universe(data, 5)
    summary = run_engine(database, data, "mock,sma_cross,buy_and_hold")
    runs: dict[str, list[dict[str, Any]]] = {}
    for name, signals, statistics in query(
        database, "SELECT strategy, signals, statistics FROM backtest_runs"
    ):
        assert isinstance(statistics, dict)
        runs.setdefault(str(name), []).append({"signals": signals, **statistics})
    for ranked in summary.ranking:
        own = runs.pop(ranked.strategy)
        trades = sum(each["trades"] for each in own)
        won = sum(round((each["win_rate"] or 0.0) * each["trades"]) for each in own)
        earned = [each["total_return"] for each in own]
        falls = [each["max_drawdown"] for each in own]
        ratios = [each["sharpe_ratio"] for each in own if each["sharpe_ratio"] is not None]
        assert (ranked.symbols, ranked.failed, ranked.trades) == (5, 0, trades)
        assert ranked.signals == sum(each["signals"] for each in own)
        assert ranked.mean_return == pytest.approx(fmean(earned))
        assert ranked.mean_sharpe == pytest.approx(fmean(ratios))
        assert ranked.mean_drawdown == pytest.approx(fmean(falls))
        assert ranked.worst_drawdown == min(falls)
        assert ranked.hit_rate == (won / trades if trades else None)
        assert ranked.profitable == sum(each > 0 for each in earned) / 5
    assert not runs
    ratios = [ranked.mean_sharpe or 0.0 for ranked in summary.ranking]
    assert ratios == sorted(ratios, reverse=True)
    assert len(set(ratios)) == 3
    assert any(0.0 < (ranked.profitable or 0.0) < 1.0 for ranked in summary.ranking)
    assert any(0.0 < (ranked.hit_rate or 0.0) < 1.0 for ranked in summary.ranking)


def test_a_run_of_the_engine_is_a_backtest_of_the_same_bars(database: Database, data: Path) -> None:
    rules: dict[str, Any] = {"fee_bps": 5.0, "slippage_bps": 7.0, "fill": "close", "cash": 20_000.0}
    run_engine(database, data, "sma_cross", params=("sma_cross.fast=3", "sma_cross.slow=8"), **rules)
    options = BacktestOptions(parameters={"fast": 3, "slow": 8}, **rules)
    played = run(SmaCross, read_bars(data, symbols=["S001"]).in_order(), options)
    assert len(played.fills) > 5
    [(statistics,)] = query(database, "SELECT statistics FROM backtest_runs WHERE symbol = 'S001'")
    assert statistics == asdict(played.statistics)
    signals = query(
        database,
        "SELECT signal_id::text, action, price FROM backtest_signals JOIN backtest_runs USING (run_id) "
        "WHERE symbol = 'S001' ORDER BY number",
    )
    assert signals == [(each.signal_id, each.action, each.price) for each in played.signals]
    assert signals


def test_what_is_there_is_not_computed_again_and_what_is_new_is(database: Database, data: Path) -> None:
    first = run_engine(database, data)
    before = tables(database)
    again = run_engine(database, data)
    assert (again.progress.reused, again.progress.done) == (6, 0)
    assert again.batch_id == first.batch_id
    assert tables(database) == before
    write_universe(data, 4, last=1.0)  # one symbol more, and one with another last bar
    changed = run_engine(database, data)
    assert (changed.progress.reused, changed.progress.done) == (4, 4)
    parameters = run_engine(database, data, params=("mock.every=7",))
    assert (parameters.progress.reused, parameters.progress.done) == (4, 4)
    assert [ranked.symbols for ranked in parameters.ranking] == [4, 4]


def test_what_is_there_is_computed_again_where_that_is_asked_for(database: Database, data: Path) -> None:
    run_engine(database, data)
    before = tables(database)
    finished = query(database, "SELECT max(finished_at) FROM backtest_runs")
    again = run_engine(database, data, fresh=True)
    assert (again.progress.reused, again.progress.done) == (0, 6)
    assert tables(database) == before
    assert query(database, "SELECT min(finished_at) FROM backtest_runs") > finished


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


def test_a_stopped_run_goes_on_to_the_same_tables(database: Database, data: Path) -> None:
    stop = Event()

    def stop_early(progress: Progress) -> None:
        if progress.done >= 2:
            stop.set()

    stopped = run_engine(database, data, watch=stop_early, stop=stop)
    assert stopped.status == "stopped"
    assert 2 <= stopped.progress.done < 6
    resumed = run_engine(database, data, resume=True)
    assert resumed.status == "finished"
    assert resumed.progress.reused == stopped.progress.done
    interrupted = tables(database)
    with database.transaction() as cursor:
        cursor.execute("TRUNCATE backtest_batches CASCADE")
    run_engine(database, data)
    assert tables(database) == interrupted


def test_dirty_symbols_are_named_with_what_was_left_out(database: Database, data: Path) -> None:
    text = data.read_text().splitlines(keepends=True)
    text[5] = text[5].replace(",1000", ",")
    text += ["bad symbol,2024-01-01,1,1,1,1,1\n", "EMPTY,2024-01-01,1,1,1,1,\n"]
    data.write_text("".join(text))
    summary = run_engine(database, data, "mock")
    assert [(symbol, left_out, finding["kind"]) for symbol, left_out, [finding] in summary.dirty] == [
        ("EMPTY", 1, "blank"),
        ("S000", 1, "blank"),
    ]
    assert [(failed, reason) for _, failed, reason in summary.failures] == [
        ("EMPTY", "none of its rows is a bar"),
        ("bad symbol", "the file has a symbol that no session could have"),
    ]
    mended = run_engine(database, data, "mock", repairs=("fill-volume",))
    assert [(symbol, left_out) for symbol, left_out, _ in mended.dirty] == [("EMPTY", 0), ("S000", 0)]


@pytest.mark.parametrize(
    ("strategies", "params", "complaint"),
    [
        ("mok", (), "no strategy 'mok'; did you mean 'mock'"),
        ("mock,mock", (), "each of them once"),
        ("", (), "must be names"),
        ("mock", ("mock.evry=1",), "did you mean 'every'"),
        ("mock", ("every=1",), "write it like"),
        ("mock", ("sma_cross.fast=1",), "not among the strategies"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_before_anything_runs(
    database: Database, data: Path, strategies: str, params: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        run_engine(database, data, strategies, params=params)


def test_a_strategy_hears_the_symbols_that_it_watches_and_says_which_are_missing(
    database: Database, data: Path
) -> None:
    given = {"symbols": "S001,S002,XLK", "lookback": 3, "best": 1, "period": "bar"}
    params = tuple(f"sector_rotation.{name}={value}" for name, value in given.items())
    summary = run_engine(database, data, "sector_rotation,mock", params=params)
    assert summary.failures == []
    missing = "it watches symbols that there are no bars of: XLK"
    assert summary.notes == [("sector_rotation", missing, 3)]
    held = query(
        database,
        "SELECT given_at, count(*) FROM backtest_signals JOIN backtest_runs USING (run_id) "
        "WHERE strategy = 'sector_rotation' AND action = 'BUY' AND symbol <> 'S000' GROUP BY 1",
    )
    assert held
    assert all(count == 1 for _, count in held)  # of S001 and S002 the better one, never both
    some = run_engine(database, data, "sector_rotation", params=params, symbols=["S001", "S002"])
    assert (some.symbols, some.progress.runs, some.progress.reused) == (2, 2, 2)
    with pytest.raises(ConfigError, match="no symbol 'S01'; it has S001"):
        run_engine(database, data, "mock", symbols=["S01"])
    write_universe(data, 3, last=1.0)
    again = run_engine(database, data, "sector_rotation,mock", params=params)
    assert (again.progress.reused, again.progress.done) == (2, 4)  # whoever watches depends on all data


def test_people_are_told_how_a_run_ended(database: Database, data: Path) -> None:
    told: list[tuple[str, str]] = []

    class Listener(Notifications):
        def send(self, title: str, body: str) -> bool:
            told.append((title, body))
            return False  # nobody was reached, and nothing comes of it

    first = run_engine(database, data, "mock")
    write_universe(data, 3, last=5.0)
    run_engine(database, data, "mock", notifications=Listener(None))
    with pytest.raises(ConfigError):
        run_engine(database, data.with_suffix(".gone"), "mock", notifications=Listener(None))
    [(finished, figures), (failed, reason)] = told
    assert (finished, failed) == ("Engine finished", "Engine failed")
    assert figures.startswith("finished: 3 of 3 runs over 3 symbols, 1 computed, 2 were there, 0 failed")
    assert "1. mock: return" in figures
    assert figures.endswith(f", return the time before {first.ranking[0].mean_return:.2%}")
    assert "is no file" in reason


def test_the_tables_of_a_run_can_be_had_as_parquet(database: Database, data: Path, tmp_path: Path) -> None:
    run_engine(database, data, "mock", parquet=tmp_path / "out")
    names = ("runs", "signals", "performance")
    read = {name: parquet.read_table(tmp_path / "out" / f"{name}.parquet") for name in names}
    assert read["runs"].column("symbol").to_pylist() == ["S000", "S001", "S002"]
    [(counted,)] = query(database, "SELECT count(*) FROM backtest_signals")
    assert read["signals"].num_rows == counted != 0
    assert read["signals"].column("given_at").to_pylist()[0].tzinfo is not None
    assert read["performance"].column("mean_sharpe").to_pylist() == [
        row[0] for row in query(database, "SELECT mean_sharpe FROM backtest_performance")
    ]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == sorted(
        f"{name}.parquet" for name in names
    )


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
