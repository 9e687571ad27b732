"""Writes the page that `backtest --report` asks for."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from services.commands.backtest_search import Found, Search
from services.commands.output import print_warning

if TYPE_CHECKING:
    from services.history.backtest_run import BacktestRun
    from services.history.bars import BarFile
    from services.history.sweep import Trial
    from services.history.sweep_workers import Work


def best_work(work: "Work", best: "Trial") -> "Work":
    """Return the work whose run was the best of a sweep."""
    parameters = {**work.options.parameters, **best.parameters}
    return work._replace(options=replace(work.options, parameters=parameters))


def write_page(
    path: Path, played: "BacktestRun", file: "BarFile", searched: tuple[Search, Found] | None = None
) -> None:
    """Write the page, and say where it is. Raises ConfigError when plotly is not installed."""
    from services.history.report import SweepShown, write_report

    shown = None
    if searched is not None and searched[1].best is not None:
        asked, found = searched
        shown = SweepShown(asked.axes, found.trials, found.folds, searched[1].best, asked.objective)
    write_report(path, played, datetime.now(UTC), problems=len(file.problems), sweep=shown)
    print_warning(f"the report is in {path}")
