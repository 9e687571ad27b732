"""DataFrames in and out, and the example of the documentation."""

import re
from pathlib import Path

import pandas as pd
import pytest

from models.errors import ConfigError
from services.history.backtest import run
from services.history.bars import in_order
from services.history.frames import run_backtest
from services.history.options import BacktestOptions
from services.history.statistics import drawdowns
from strategies.sma_cross import SmaCross
from tests.support import REPOSITORY
from tests.unit.playing import bars_from

BARS = bars_from([(100.0 + (n * n) % 17, 100.0 + (n * n * n) % 23) for n in range(200)])
AVERAGES = {"fast": 2, "slow": 5}


def _frame() -> pd.DataFrame:
    names = ("open", "high", "low", "close", "volume")
    columns = {name.title(): [getattr(bar, name) for bar in BARS] for name in names}
    return pd.DataFrame(columns, index=pd.DatetimeIndex([bar.timestamp for bar in BARS]))


def test_a_frame_is_played_as_a_file_is() -> None:
    result = run_backtest(SmaCross, _frame(), symbol="AAPL", parameters=AVERAGES, fee_bps=3)

    alone = run(SmaCross, in_order([BARS]), BacktestOptions(parameters=AVERAGES, fee_bps=3))
    assert result.run.signals == alone.signals
    assert result.statistics.loc["total_return", "value"] == alone.statistics.total_return
    assert len(result.trades) == len(alone.trades) + len(alone.holdings) > 10
    assert result.trades["profit"].sum() == pytest.approx(sum(trip.profit or 0.0 for trip in alone.trades))
    assert result.equity["equity"].tolist() == list(alone.equity.values)
    assert result.equity.index[0] == BARS[0].timestamp
    assert result.equity["drawdown"].tolist() == drawdowns(alone.equity.values)
    assert result.equity["drawdown"].min() == alone.statistics.max_drawdown < 0.0
    assert result.equity["exposed"].mean() == pytest.approx(alone.statistics.exposure_time)
    assert set(result.equity["exposed"]) == {True, False}


def test_times_and_symbols_may_be_columns() -> None:
    frame = _frame().reset_index(names="date")
    both = pd.concat([frame.assign(symbol="AAPL"), frame.assign(symbol="MSFT")])

    result = run_backtest(SmaCross, both, parameters=AVERAGES)

    assert result.run.symbols == ("AAPL", "MSFT")
    assert set(result.trades["symbol"]) == {"AAPL", "MSFT"}


def test_rows_that_are_no_bars_are_named() -> None:
    frame = _frame()
    frame.iloc[3, 0] = float("nan")

    result = run_backtest(SmaCross, frame)

    assert [str(problem) for problem in result.problems] == ["line 4: FRAME 2026-01-28T10:03:00Z open: blank"]


def test_a_frame_that_lacks_something_is_refused() -> None:
    with pytest.raises(ConfigError, match="no column high, low"):
        run_backtest(SmaCross, _frame().drop(columns=["High", "Low"]))
    with pytest.raises(ConfigError, match="no times"):
        run_backtest(SmaCross, _frame().reset_index(drop=True))


def test_the_example_of_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (REPOSITORY / "docs" / "backtest.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    _frame().to_csv(tmp_path / "prices.csv", index_label="date")
    monkeypatch.chdir(tmp_path)

    exec(compile(example, "docs/backtest.md", "exec"), {"__name__": "notebook"})  # noqa: S102 — our own page

    assert "sharpe_ratio" in capsys.readouterr().out
