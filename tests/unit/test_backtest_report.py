"""The report of a backtest: one file that loads nothing and holds what it shows."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.history.backtest import run
from services.history.backtest_run import BacktestRun
from services.history.bars import hash_of
from services.history.options import BacktestOptions
from services.history.report import SweepShown, write_report
from services.history.report_series import MOST_CANDLES, Candles, drawn_equity
from services.history.statistics import drawdowns, monthly_returns, rolling_sharpe
from services.history.sweep import Axis, Task, best_of, combinations
from services.history.sweep_workers import Work, try_here
from services.history.walk_forward import walk_forward
from services.state_source import source_hash
from strategies.sma_cross import SmaCross
from tests.unit.playing import bars_from, scripted

MADE = datetime(2026, 1, 28, 10, 30, tzinfo=UTC)
BARS = bars_from([(100.0 + (n * n) % 17, 100.0 + (n * n * n) % 23) for n in range(300)])
OPTIONS = BacktestOptions(parameters={"fast": 2, "slow": 5}, fee_bps=2)


def _played() -> BacktestRun:
    return run(SmaCross, BARS, OPTIONS)


def _data(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    found: dict[str, Any] = json.loads(data)
    return found


def test_the_page_holds_what_it_shows(tmp_path: Path) -> None:
    played = _played()
    write_report(tmp_path / "new" / "report.html", played, MADE, problems=3)

    data = _data(tmp_path / "new" / "report.html")
    assert data["prices"]["AAPL"]["close"] == [bar.close for bar in BARS]
    assert [fill["price"] for fill in data["fills"]["AAPL"]] == [fill.price for fill in played.fills]
    assert [BARS[fill["bar"]].open for fill in data["fills"]["AAPL"]] == [fill.price for fill in played.fills]
    assert len(data["trades"]) == len(played.trades) + len(played.holdings)
    assert data["equity"]["value"][-1] == round(played.statistics.final_equity, 2)
    assert data["warnings"] == ["3 rows of the file are no bars and were left out; `engine check` names them"]
    facts = dict(data["facts"])
    assert facts["Parameters"] == "fast = 2, slow = 5, cash = 10000.0"
    assert facts["Hash of the code"] == source_hash(SmaCross)
    assert re.fullmatch(r"[0-9a-f]{64}", facts["Hash of the data"])


def test_the_page_has_months_drawdowns_and_a_rolling_ratio_of_the_same_curve(tmp_path: Path) -> None:
    prices = [(100.0 + (n * n) % 17, 100.0 + (n * n * n) % 23) for n in range(200)]
    played = run(SmaCross, bars_from(prices, step=timedelta(days=1)), OPTIONS)
    write_report(tmp_path / "report.html", played, MADE)

    data = _data(tmp_path / "report.html")
    months = monthly_returns(played.equity)
    assert len(months) == 8
    assert {
        f"{row['year']}-{number:02}": value
        for row in data["years"]
        for number, value in enumerate(row["months"], 1)
        if value is not None
    } == months
    assert [row["year"] for row in data["years"]] == ["2026"]
    assert data["years"][0]["total"] == pytest.approx(played.statistics.total_return)
    assert data["equity"]["drawdown"] == [round(each, 6) for each in drawdowns(played.equity.values)]
    rolling = [value for _, value in rolling_sharpe(played.equity, is_crypto=False)]
    assert data["rolling"]["value"] == [None if value is None else round(value, 4) for value in rolling]
    assert len(rolling) == 200 - 63


def test_the_hash_of_the_data_is_that_of_the_bars_that_were_traded(tmp_path: Path) -> None:
    hashes = set()
    for number, bars in enumerate((BARS, BARS[:-1])):
        page = tmp_path / f"{number}.html"
        write_report(page, run(SmaCross, bars, OPTIONS), MADE)
        hashes.add(dict(_data(page)["facts"])["Hash of the data"])
    assert hashes == {hash_of(BARS), hash_of(BARS[:-1])}
    assert len(hashes) == 2


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", _played(), MADE)

    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    ours = re.sub(r"<script>.*?plotly\.js v.*?</script>", "", text, count=1, flags=re.DOTALL)
    assert "default-src 'none'" in ours
    assert not re.search(r'(src|href)\s*=\s*"', ours)
    assert "http" not in ours.replace("http-equiv", "")


def test_a_sweep_and_a_walk_are_on_the_page(tmp_path: Path) -> None:
    axes = [Axis("fast", (2, 3)), Axis("slow", (5, 8))]
    trying = try_here(Work(SmaCross, BARS, OPTIONS))
    trials = list(trying([Task(each) for each in combinations(axes)]))
    folds = walk_forward(BARS, combinations(axes), 2, "total_return", trying)
    best = best_of(trials, "total_return")
    assert best is not None

    shown = SweepShown(axes, trials, folds, best, "total_return")
    write_report(tmp_path / "report.html", _played(), MADE, sweep=shown)

    data = _data(tmp_path / "report.html")
    assert data["sweep"]["across"] == {"name": "fast", "values": [2, 3]}
    assert data["sweep"]["cells"][0][0] == trials[0].score("total_return")
    assert data["sweep"]["best"] == dict(best.parameters)
    assert len(data["walk"]["folds"]) == 2


def test_many_bars_become_fewer_candles_and_points_without_losing_an_extreme() -> None:
    bars = bars_from([(100.0, 100.0 + (n * n) % 991) for n in range(2 * MOST_CANDLES + 1)])
    candles = Candles.of(bars, "AAPL", "%H:%M")

    assert candles.columns["merged"] == 3
    assert max(candles.columns["high"]) == max(bar.high for bar in bars)
    assert candles.place(bars[7].timestamp) == 2

    played = run(SmaCross, bars, OPTIONS)
    drawn = drawn_equity(played.equity, "%H:%M")
    assert len(drawn["value"]) < 5_000
    assert max(drawn["value"]) == round(max(played.equity.values), 2)
    assert min(drawn["drawdown"]) == round(played.statistics.max_drawdown, 6)


@pytest.mark.parametrize("script", [{0: ("BUY", 1.0)}, {}])
def test_a_run_that_closed_nothing_can_be_shown(script: dict[int, tuple[str, float]], tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", run(scripted(script), BARS[:2]), MADE)

    assert len(_data(tmp_path / "report.html")["trades"]) == len(script)
