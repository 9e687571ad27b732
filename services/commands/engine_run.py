"""`python main.py engine run|schedule`: every strategy over every symbol, once or whenever it is due."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from config import load_settings
from services.commands.database import embedded_database
from services.commands.engine_progress import watching
from services.commands.output import print_json, print_line, print_table, print_warning
from services.commands.strategies import load
from services.stop_signal import StopSignal

if TYPE_CHECKING:
    from services.db_client import Database
    from services.history.engine.batch import Summary
    from services.history.engine.schedule import Schedule
    from services.history.engine.service import EngineRequest, EngineService

DATA_FOLDER = Path("var/engine")
STATEMENT_SECONDS = 300.0
MOST_SHOWN = 20

Data = Annotated[Path, typer.Option(help="CSV, CSV.gz or Parquet: symbol, timestamp|date, OHLC, volume.")]
Repairs = Annotated[
    list[str] | None, typer.Option("--repair", help="A rule that mends rows; may be given more than once.")
]
Calendar = Annotated[str | None, typer.Option(help="Exchange whose days count, like XNYS.")]
Timeframe = Annotated[str | None, typer.Option(help="Of the bars; by default the step that most keep.")]
Strategies = Annotated[str, typer.Option(help="Names, with commas between.")]
Symbols = Annotated[
    list[str] | None, typer.Option("--symbol", help="Trade only this one; may be given more than once.")
]
Params = Annotated[
    list[str] | None, typer.Option("--param", help="STRATEGY.NAME=VALUE; may be given more than once.")
]
Workers = Annotated[int | None, typer.Option(min=1, max=256, help="Processes; by default one per core.")]
Cash = Annotated[float, typer.Option(min=0.01, help="What each run begins with.")]
Fill = Annotated[Literal["next-open", "close"], typer.Option(help="At which price signals are filled.")]
Fee = Annotated[float, typer.Option("--fee-bps", min=0, help="Fee on each fill, in basis points.")]
Slippage = Annotated[float, typer.Option("--slippage-bps", min=0, help="Move against the trader.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds that one strategy may take for a symbol.")]
ParquetFolder = Annotated[Path | None, typer.Option("--parquet", help="Folder for the tables as Parquet.")]
DataFolder = Annotated[
    Path, typer.Option(help="Where the embedded PostgreSQL lives when DATABASE_URL is not set.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where a run ended: what failed stays so.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Compute again also what is there.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def _request(given: Mapping[str, Any]) -> "EngineRequest":
    """Put the options of a verb, by their names, together; `schedule` neither resumes nor begins afresh."""
    from services.history.engine.plan import EngineOptions
    from services.history.engine.service import EngineRequest

    return EngineRequest(
        strategies=given["strategies"],
        data=given["data"],
        symbols=given["symbol"] or (),
        params=given["param"] or (),
        options=EngineOptions(
            cash=given["cash"],
            fee_bps=given["fee_bps"],
            slippage_bps=given["slippage_bps"],
            fill=given["fill"],
            repairs=tuple(given["repair"] or ()),
            seconds=given["timeout"],
            call_seconds=load_settings().handler_deadline_max_ms / 1000,
        ),
        workers=given["workers"] or os.cpu_count() or 1,
        timeframe=given["timeframe"],
        parquet=given["parquet"],
        resume=given.get("resume", False),
        fresh=given.get("fresh", False),
    )


def make_run(stop: StopSignal) -> Callable[..., int]:
    """Return the verb `run`; SIGTERM ends it between two results."""

    def run(
        strategies: Strategies,
        data: Data,
        symbol: Symbols = None,
        param: Params = None,
        workers: Workers = None,
        resume: Resume = False,
        fresh: Fresh = False,
        repair: Repairs = None,
        timeframe: Timeframe = None,
        cash: Cash = 100_000.0,
        fill: Fill = "next-open",
        fee_bps: Fee = 0.0,
        slippage_bps: Slippage = 0.0,
        timeout: Timeout = 60.0,
        parquet: ParquetFolder = None,
        data_folder: DataFolder = DATA_FOLDER,
        as_json: Json = False,
    ) -> int:
        """Run strategies over every symbol of a file, and rank them.

        Results go to backtest_runs, backtest_signals and backtest_performance; what is there already, for the
        same code, parameters and data, is not computed again. One symbol's failure never stops the rest. Exit
        codes: 0 finished, 1 stopped or nothing but failures, 2 wrong use or configuration.
        """
        request = _request(locals())
        with _service(request, stop, data_folder) as (service, _):
            summary = service.run(request)
        _show(summary, as_json=as_json)
        only_failures = len(summary.failures) == summary.progress.runs
        return 1 if summary.status != "finished" or only_failures else 0

    return run


def make_schedule(stop: StopSignal) -> Callable[..., None]:
    """Return the verb `schedule`; SIGTERM ends it."""

    def schedule(
        when: Annotated[str, typer.Argument(help='"15:30 Asia/Kolkata", "mon-fri 9:15,15:30 Europe/London"')],
        strategies: Strategies,
        data: Data,
        calendar: Calendar = None,
        name: Annotated[str, typer.Option(help="Machines that share it share the runs.")] = "engine",
        symbol: Symbols = None,
        param: Params = None,
        workers: Workers = None,
        repair: Repairs = None,
        timeframe: Timeframe = None,
        cash: Cash = 100_000.0,
        fill: Fill = "next-open",
        fee_bps: Fee = 0.0,
        slippage_bps: Slippage = 0.0,
        timeout: Timeout = 60.0,
        parquet: ParquetFolder = None,
        data_folder: DataFolder = DATA_FOLDER,
    ) -> None:
        """Do what `run` does whenever it is due, until SIGTERM.

        With --calendar only on days on which that exchange is open. Of machines with one database and one
        --name, one runs; what was missed while none of them was there is caught up once.
        """
        from services.history.engine.schedule import Schedule
        from services.history.exchange import ExchangeCalendar

        request = _request(locals())
        due = Schedule.parse(when, ExchangeCalendar(calendar).is_open) if calendar else Schedule.parse(when)
        due.due_after(datetime.now(UTC))  # where it never is, nothing is started
        with _service(request, stop, data_folder) as (service, database):
            _follow(due, name, service, database, request, stop)

    return schedule


def _follow(
    due: "Schedule",
    name: str,
    service: "EngineService",
    database: "Database",
    request: "EngineRequest",
    stop: StopSignal,
) -> None:
    from services.history.engine.schedule_table import ScheduleTable
    from services.history.engine.scheduler import Scheduler, WallClock
    from services.history.engine.telling import headline

    def run(_: datetime) -> str | None:
        summary = service.run(request)
        return None if summary.status == "stopped" else headline(summary)

    clock = WallClock(stop.requested)
    print_line(f"next due {due.due_after(clock.now()).isoformat()}")
    Scheduler(due, ScheduleTable(database, name), run, clock).loop()


@contextmanager
def _service(
    request: "EngineRequest", stop: StopSignal, data_folder: Path
) -> "Iterator[tuple[EngineService, Database]]":
    """Give the engine with all that it needs, until the block ends."""
    from services.db_client import Database, migrate
    from services.history.engine.notifications import Notifications
    from services.history.engine.service import EngineService, check_request
    from services.telemetry.logs import configure_logging

    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    notifications = Notifications(settings.notify_urls)
    registry, failures = load(settings)
    for failure in failures:
        print_warning(f"not loaded: {failure.file}: {failure.reason}")
    check_request(request, registry)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with ExitStack() as stack:
        url = settings.database_url or embedded_database(stack, data_folder, console, "results are")
        migrate(url)
        database = Database(url, statement_timeout=STATEMENT_SECONDS)
        stack.callback(database.close)
        watch = stack.enter_context(watching(console))
        yield (
            EngineService(
                registry=registry,
                strategies_path=settings.strategies_path,
                database=database,
                notifications=notifications,
                watch=watch,
                stop=stop.requested,
            ),
            database,
        )


def _show(summary: "Summary", *, as_json: bool) -> None:
    from services.history.engine.telling import HEADINGS, cells, described, faults

    if as_json:
        print_json(described(summary))
        return
    print_table(HEADINGS, map(cells, summary.ranking))
    for words in faults(summary, MOST_SHOWN):
        print_warning(words)
    print_line(f"batch {summary.batch_id}")
