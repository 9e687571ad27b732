"""A small universe, and an engine over it in this process: only its hands are processes of their own."""

from pathlib import Path
from threading import Event
from typing import Any

from services.db_client import Database
from services.history.engine.batch import Summary
from services.history.engine.notifications import Notifications
from services.history.engine.plan import EngineOptions
from services.history.engine.service import EngineRequest, EngineService
from strategies.registry import StrategyRegistry

HEADER = "symbol,date,open,high,low,close,volume\n"
# What depends on when it was done, and not on what was done.
RUNS = """
    SELECT to_jsonb(backtest_runs) - 'seconds' - 'finished_at' FROM backtest_runs ORDER BY run_id
"""
SIGNALS = "SELECT to_jsonb(backtest_signals) FROM backtest_signals ORDER BY run_id, number"
PERFORMANCE = """
    SELECT to_jsonb(backtest_performance) - 'computed_at' FROM backtest_performance
    ORDER BY batch_id, strategy
"""


def write_universe(file: Path, symbols: int, days: int = 60, last: float = 0.0) -> Path:
    """Write bars that swing, each symbol in its own way; `last` moves the last close of the first symbol."""
    lines = []
    for number in range(symbols):
        for day in range(days):
            close: float = 100 + number + (day * (7 + number)) % 13
            close += last if number == 0 and day == days - 1 else 0
            date = f"2024-{1 + day // 28:02}-{1 + day % 28:02}"
            lines.append(f"S{number:03},{date},{close},{close + 1},{close - 1},{close},1000\n")
    file.write_text(HEADER + "".join(lines))
    return file


def run_engine(
    database: Database,
    data: Path,
    strategies: str = "mock,sma_cross",
    folder: Path | None = None,
    **asked: Any,
) -> Summary:
    """Run strategies over a universe in one process more.

    What is asked for beside that are fields of EngineRequest and EngineOptions, and parts of EngineService.
    """
    registry = StrategyRegistry()
    if folder is not None:
        registry.load_folder(folder)
    service = EngineService(
        registry=registry,
        strategies_path=folder,
        database=database,
        notifications=asked.pop("notifications", Notifications(None)),
        watch=asked.pop("watch", lambda _: None),
        stop=asked.pop("stop", Event()),
    )
    rules = {name: asked.pop(name) for name in EngineOptions.__struct_fields__ if name in asked}
    request = EngineRequest(strategies=strategies, data=data, options=EngineOptions(**rules), **asked)
    return service.run(request)


def tables(database: Database) -> list[list[object]]:
    """Give everything that the engine wrote, without times."""
    with database.transaction() as cursor:
        read = []
        for query in (RUNS, SIGNALS, PERFORMANCE):
            cursor.execute(query)
            read.append([row[0] for row in cursor.fetchall()])
        return read
