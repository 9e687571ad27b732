"""The engine over a small universe: what it writes, what it does not do twice, and what cannot stop it."""

from collections.abc import Iterator
from multiprocessing import active_children
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
from services.history.engine.batch import Progress
from services.history.engine.notifications import Notifications
from services.history.engine.result_table import ResultTable
from services.history.options import BacktestOptions
from strategies.sma_cross import SmaCross
from tests.engine_tables import write_universe
from tests.integration.engine_world import query, run_engine, tables


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_universe(tmp_path / "bars.csv", 3)


def test_every_strategy_runs_over_every_symbol_and_is_ranked(database: Database, data: Path) -> None:
    summary = run_engine(database, data)
    assert (summary.status, summary.progress.done, summary.failures) == ("finished", 6, [])
    assert active_children() == []
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


class Listener(Notifications):
    """Keeps what people are told, in `told`."""

    def __init__(self) -> None:
        super().__init__(None)
        self.told: list[tuple[str, str]] = []

    def send(self, title: str, body: str) -> bool:
        self.told.append((title, body))
        return False  # nobody was reached, and nothing comes of it


def test_people_are_told_how_a_run_ended(database: Database, data: Path) -> None:
    listener = Listener()
    first = run_engine(database, data, "mock")
    write_universe(data, 3, last=5.0)
    run_engine(database, data, "mock", notifications=listener)
    with pytest.raises(ConfigError):
        run_engine(database, data.with_suffix(".gone"), "mock", notifications=listener)
    [(finished, figures), (failed, reason)] = listener.told
    assert (finished, failed) == ("Engine finished", "Engine failed")
    assert figures.startswith("finished: 3 of 3 runs over 3 symbols, 1 computed, 2 were there, 0 failed")
    assert "1. mock: return" in figures
    assert figures.endswith(f", return the time before {first.ranking[0].mean_return:.2%}")
    assert "is no file" in reason


def test_people_are_told_of_a_fault_of_the_engine_itself(
    database: Database, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("nobody thought of this")

    listener = Listener()
    monkeypatch.setattr(ResultTable, "save", broken)
    with pytest.raises(RuntimeError):
        run_engine(database, data, "mock", notifications=listener)
    assert listener.told == [("Engine failed", "RuntimeError: nobody thought of this")]
    assert active_children() == []


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
