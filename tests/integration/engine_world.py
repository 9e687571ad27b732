"""An engine in this process: only its hands are processes of their own."""

from pathlib import Path
from threading import Event
from typing import Any

from services.db_client import Database
from services.history.engine.batch import Summary
from services.history.engine.notifications import Notifications
from services.history.engine.plan import EngineOptions
from services.history.engine.service import EngineRequest, EngineService
from strategies.registry import StrategyRegistry
from tests.engine_tables import TABLES


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
        for query in TABLES:
            cursor.execute(query)
            read.append([row[0] for row in cursor.fetchall()])
        return read


def query(database: Database, text: str) -> list[tuple[object, ...]]:
    """Give the rows of a query."""
    with database.transaction() as cursor:
        cursor.execute(text)
        return list(cursor.fetchall())
