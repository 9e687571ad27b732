"""`engine run` and `engine schedule` as a shell sees them."""

import sys
from datetime import date
from pathlib import Path

import pytest

from models.errors import StrategyRejected
from services.db_client import Database
from services.history import exchange
from services.history.engine.batch import Summary
from services.history.engine.plan import EngineOptions
from services.history.engine.service import EngineRequest, EngineService
from tests.engine_tables import write_universe
from tests.hook import receiving
from tests.integration.command_line import command
from tests.support import REPOSITORY, eventually, running_process

HANGS = """
from strategies.base_strategy import BaseStrategy

class Hangs(BaseStrategy):
    name = "hangs"

    def __init__(self, strategy_id, symbol, session_id=None):
        super().__init__(strategy_id, symbol, session_id)
        while symbol == "S001":
            pass

    def on_bar(self, bar): pass
    def on_trade(self, trade): pass
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_universe(tmp_path / "bars.csv", 2)


def test_a_run_is_told_as_json(database_url: str, data: Path) -> None:
    words = ["engine", "run", "--strategies", "mock,buy_and_hold", "--data", str(data), "--workers", "1"]
    rules = ["--param", "mock.every=3", "--fee-bps", "5", "--slippage-bps", "1", "--json"]
    ended = command(*words, *rules, DATABASE_URL=database_url, LOG_LEVEL="ERROR")
    assert ended.code == 0
    told = ended.json
    assert (told["status"], told["runs"], told["computed"], told["failed"]) == ("finished", 4, 4, 0)
    assert told["seconds_per_run"] > 0
    assert [each["place"] for each in told["ranking"]] == [1, 2]


def test_every_option_of_a_run_reaches_the_engine(
    database_url: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[EngineRequest] = []

    def run(_: EngineService, request: EngineRequest) -> Summary:
        asked.append(request)
        raise StrategyRejected("that is all")

    monkeypatch.setattr(EngineService, "run", run)
    words = (
        *("engine", "run", "--strategies", "mock,sma_cross", "--data", str(data), "--symbol", "S001"),
        *("--param", "mock.every=3", "--workers", "3", "--repair", "sort", "--repair", "widen"),
        *("--timeframe", "1d", "--cash", "500", "--fill", "close", "--fee-bps", "2", "--slippage-bps", "3"),
        *("--timeout", "7", "--parquet", str(tmp_path), "--resume", "--fresh"),
    )
    ended = command(*words, DATABASE_URL=database_url, LOG_LEVEL="ERROR", HANDLER_DEADLINE_MAX_MS="1500")
    assert (ended.code, ended.output) == (1, "error: that is all\n")
    assert asked == [
        EngineRequest(
            strategies="mock,sma_cross",
            data=data,
            symbols=["S001"],
            params=["mock.every=3"],
            options=EngineOptions(
                cash=500.0,
                fee_bps=2.0,
                slippage_bps=3.0,
                fill="close",
                repairs=("sort", "widen"),
                seconds=7.0,
                call_seconds=1.5,
            ),
            workers=3,
            timeframe="1d",
            parquet=tmp_path,
            resume=True,
            fresh=True,
        )
    ]


def test_a_strategy_that_hangs_is_a_line_of_the_table_and_the_rest_goes_on(
    database_url: str, data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "hangs.py").write_text(HANGS)
    ended = command(
        *("engine", "run", "--strategies", "hangs,mock", "--data", str(data), "--workers", "1"),
        DATABASE_URL=database_url,
        LOG_LEVEL="ERROR",
        STRATEGIES_PATH=str(folder),
        HANDLER_DEADLINE_MAX_MS="300",
    )
    assert ended.code == 0
    told = "hangs cannot be made: a call took longer than 0.3 s, in __init__, line "
    assert f"failed: hangs on S001: {told}" in ended.output
    assert "finished: 4 of 4 runs over 2 symbols, 4 computed, 0 were there, 1 failed" in ended.output


def test_nothing_but_failures_is_a_failure(database_url: str, data: Path) -> None:
    data.write_text(data.read_text().replace("S000", "no symbol").replace("S001", "none either"))
    ended = command(
        *("engine", "run", "--strategies", "mock", "--data", str(data), "--workers", "1"),
        DATABASE_URL=database_url,
        LOG_LEVEL="ERROR",
    )
    assert ended.code == 1
    assert "failed: mock on no symbol: the file has a symbol that no session could have" in ended.output


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("run", "--strategies", "mock", "--data", "gone.csv"), "gone.csv is no file"),
        (("run", "--strategies", "mok", "--data", "{data}"), "did you mean 'mock'"),
        (("run", "--strategies", "mock", "--data", "{data}", "--repair", "all"), "no repair 'all'"),
        (("schedule", "noon", "--strategies", "mock", "--data", "{data}"), "write it like"),
    ],
)
def test_wrong_use_ends_with_2_before_any_database_is_started(
    data: Path, words: tuple[str, ...], complaint: str
) -> None:
    ended = command("engine", *(word.format(data=data) for word in words))
    assert ended.code == 2
    assert complaint in ended.output
    assert "DATABASE_URL is not set" not in ended.output


def test_a_schedule_catches_up_what_it_missed_tells_of_it_and_ends_at_sigterm(
    database_url: str, data: Path
) -> None:
    database = Database(database_url)
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO engine_schedules (name, due_at) VALUES ('daily', '2026-01-01')")
    words = ["engine", "schedule", "15:30 Asia/Kolkata", "--strategies", "mock", "--data", str(data)]
    with receiving() as hook:
        settings = {
            "DATABASE_URL": database_url,
            "NOTIFY_URLS": f"json://127.0.0.1:{hook.server_port}/t0ken",
            "LOG_LEVEL": "DEBUG",
        }
        program = [sys.executable, str(REPOSITORY / "main.py"), *words, "--name", "daily", "--workers", "1"]
        with running_process(program, settings) as process:
            assert "T10:00:00+00:00" in process.said("next due ")
            eventually(lambda: _outcome(database).startswith("finished: 2 of 2 runs"), 30)
            process.terminate()
            assert process.wait() == 0
            assert "t0ken" not in process.output
    database.close()
    [told] = hook.received
    assert told["title"] == "Engine finished"
    assert told["message"].startswith("finished: 2 of 2 runs")


def test_a_schedule_leaves_out_the_days_on_which_the_exchange_of_its_calendar_is_closed(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Closed:
        """An exchange that never opens."""

        def __init__(self, name: str) -> None:
            asked.append(name)

        def is_open(self, _: date) -> bool:
            return False

    monkeypatch.setattr(exchange, "ExchangeCalendar", Closed)
    words = ("engine", "schedule", "15:30 Asia/Kolkata", "--strategies", "mock", "--data", str(data))
    ended = command(*words, "--calendar", "XBOM", LOG_LEVEL="ERROR")
    assert ended.code == 2
    assert asked == ["XBOM"]
    assert "is not due within a year: its days are closed" in ended.output


def _outcome(database: Database) -> str:
    with database.transaction() as cursor:
        cursor.execute("SELECT coalesce(outcome, '') FROM engine_schedules")
        row = cursor.fetchone()
    return "" if row is None else str(row[0])
