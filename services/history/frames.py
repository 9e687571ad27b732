"""Backtests in notebooks: a DataFrame in, DataFrames out. Needs pandas, which nothing else here does.

>>> from services.history.frames import run_backtest  # doctest: +SKIP
>>> result = run_backtest(MyStrategy, frame, cash=10_000, fee_bps=2)  # doctest: +SKIP
>>> result.statistics.loc["sharpe_ratio", "value"], result.trades, result.equity  # doctest: +SKIP
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from models.errors import ConfigError
from services.history.backtest import run
from services.history.backtest_run import BacktestRun
from services.history.bars import Problem, gather
from services.history.options import BacktestOptions
from services.history.rows import COLUMNS
from services.history.statistics import drawdowns
from services.history.table_file import TIMES, FileRow
from strategies.base_strategy import BaseStrategy
from strategies.registry import check_strategy

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class BacktestResult:
    """A backtest as DataFrames, each made when it is first asked for.

    `problems` are the rows of the frame that are no bars and were left out, by their place, from 1 on; `run`
    is the run itself, with its signals, fills and reports.
    """

    run: BacktestRun
    problems: tuple[Problem, ...]

    @cached_property
    def statistics(self) -> "pd.DataFrame":
        """The statistics, one a row, in the column `value`; NaN where one is undefined."""
        judged = asdict(self.run.statistics)
        frame: pd.DataFrame = _pandas().DataFrame(
            {"value": list(judged.values())}, index=list(judged), dtype=float
        )
        return frame

    @cached_property
    def trades(self) -> "pd.DataFrame":
        """The round trips that were closed, in the order of their exits; then what is still held."""
        trips = [*self.run.trades, *self.run.holdings]
        columns = (
            "symbol",
            "quantity",
            "entry_time",
            "entry_price",
            "exit_time",
            "exit_price",
            "fees",
            "profit",
        )
        frame: pd.DataFrame = _pandas().DataFrame(
            {name: [getattr(trip, name) for trip in trips] for name in columns}
        )
        return frame

    @cached_property
    def equity(self) -> "pd.DataFrame":
        """What the account was worth: `equity`, `drawdown` and `exposed` by time."""
        pandas, curve = _pandas(), self.run.equity
        columns = {
            "equity": list(curve.values),
            "drawdown": drawdowns(curve.values),
            "exposed": [bool(each) for each in curve.exposed],
        }
        frame: pd.DataFrame = pandas.DataFrame(columns, index=pandas.DatetimeIndex(curve.times, name="time"))
        return frame


def run_backtest(
    strategy_class: type[BaseStrategy],
    frame: "pd.DataFrame",
    *,
    symbol: str = "FRAME",
    timeframe: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    **options: Any,
) -> BacktestResult:
    """Play a strategy over a frame with open, high, low, close and volume, in any case of letters.

    Its times are the index, or a column timestamp or date; without a zone they are UTC. A column `symbol`
    names the symbols of its rows; without it all are of `symbol`. A frame without volume has 0. `options` are
    those of BacktestOptions: cash, fill, fee_bps, slippage_bps, volume_share, start, … Raises ConfigError for
    a frame that cannot be read, and StrategyError as `run` does.
    """
    check_strategy(strategy_class)
    file = gather(_rows(frame, symbol), "the frame", timeframe=timeframe)
    told = BacktestOptions(parameters=parameters or {}, **options)
    return BacktestResult(run(strategy_class, file.in_order(), told), file.problems)


def _rows(frame: "pd.DataFrame", symbol: str) -> Iterator[tuple[int, FileRow]]:
    pandas = _pandas()
    columns = {str(name).lower(): frame[name] for name in frame.columns}
    if missing := [name for name in COLUMNS[:-1] if name not in columns]:
        raise ConfigError(f"the frame has no column {', '.join(missing)}")
    given = next((columns[name] for name in TIMES if name in columns), None)
    if given is None and not isinstance(frame.index, pandas.DatetimeIndex):
        raise ConfigError("the frame has no times: give it a DatetimeIndex, or a column timestamp or date")
    moments = pandas.to_datetime(frame.index if given is None else given, utc=True)
    times = pandas.DatetimeIndex(moments).as_unit("us").asi8.tolist()
    symbols = columns["symbol"].astype(str).tolist() if "symbol" in columns else [symbol] * len(frame)
    values = [
        columns[name].astype(float).tolist() if name in columns else [0.0] * len(frame) for name in COLUMNS
    ]
    yield from enumerate(zip(symbols, times, zip(*values, strict=True), strict=True), 1)


def _pandas() -> Any:
    try:
        import pandas  # noqa: PLC0415, ICN001 — optional weight, of notebooks alone
    except ImportError:
        raise ConfigError("DataFrames need pandas: pip install -r requirements-history.txt") from None
    return pandas
