"""The engine is killed in the middle of a universe, and taken up again."""

import sys
import tempfile
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engine_tables import TABLES, write_universe
from tests.faults.databases import cursor_of
from tests.faults.experiment import Terms
from tests.faults.result import Result
from tests.support import REPOSITORY, RunningProcess, eventually, running_process

STRATEGIES = "mock,sma_cross,rsi_reversion,macd_trend"
SYMBOLS, DAYS = 300, 300
QUICK_SYMBOLS, QUICK_DAYS = 60, 56
RUNS_OF_A_SYMBOL = len(STRATEGIES.split(","))
PATIENCE_SECONDS = 300.0
ENDING_SECONDS = 10.0


@dataclass(frozen=True)
class EngineKill:
    """Kills the engine whenever it has written some results, and resumes, until nothing is left to do."""

    name: str = "engine-kill-9"
    promise: str = (
        "An engine that is killed and resumed leaves the tables of one that was not, and no process."
    )
    rounds: int = 5

    def run(self, terms: Terms) -> Result:
        """Kill it in every round, let it finish, and compare with a run that nobody disturbed."""
        result = Result(self.name, self.promise, terms.rounds)
        symbols, days = (QUICK_SYMBOLS, QUICK_DAYS) if terms.quick else (SYMBOLS, DAYS)
        undisturbed, killed = terms.databases.new(), terms.databases.new()
        with tempfile.TemporaryDirectory() as folder:
            data = write_universe(Path(folder) / "bars.csv", symbols, days)
            _finish(data, undisturbed, result)
            for _ in range(terms.rounds):
                most = symbols * RUNS_OF_A_SYMBOL * 3 // 4
                _kill(data, killed, min(most, _rows(killed) + 1), result)
            result.figures["runs written when it was killed last"] = _rows(killed)
            result.expect(_rows(killed) < symbols * RUNS_OF_A_SYMBOL, "it was done before it was killed")
            began = time.monotonic()
            _finish(data, killed, result)
            result.recover.append(time.monotonic() - began)
        for wanted, found in zip(_tables(undisturbed), _tables(killed), strict=True):
            result.expect(wanted == found, f"tables differ: {_difference(wanted, found)}")
        return result


def _engine(data: Path, database_url: str) -> AbstractContextManager[RunningProcess]:
    words = ["engine", "run", "--strategies", STRATEGIES, "--data", str(data), "--workers", "2", "--resume"]
    settings = {"DATABASE_URL": database_url, "LOG_LEVEL": "ERROR"}
    return running_process([sys.executable, str(REPOSITORY / "main.py"), *words], settings)


def _finish(data: Path, database_url: str, result: Result) -> None:
    with _engine(data, database_url) as process:
        code = process.wait(PATIENCE_SECONDS)
        result.expect(code == 0, f"it ended with {code}: {process.output[-1000:]}")


def _kill(data: Path, database_url: str, rows: int, result: Result) -> None:
    """Kill it once so many results are there; its processes must end, too."""
    with _engine(data, database_url) as process:
        eventually(lambda: _rows(database_url) >= rows or not process.running, PATIENCE_SECONDS)
        hands = _children(process.pid)
        process.kill()
        process.wait(ENDING_SECONDS)
    began = time.monotonic()
    eventually(lambda: not any(map(_lives, hands)), ENDING_SECONDS, "processes are left")
    result.note_largest("seconds until its processes had ended", time.monotonic() - began)


def _children(process_id: int) -> list[int]:
    file = Path(f"/proc/{process_id}/task/{process_id}/children")
    return [int(each) for each in file.read_text().split()] if file.exists() else []


def _lives(process_id: int) -> bool:
    """Tell whether a process runs; one that nobody has buried yet does not."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _rows(database_url: str) -> int:
    with cursor_of(database_url) as cursor:
        cursor.execute("SELECT count(*) FROM backtest_runs")
        return int(cursor.fetchone()[0])


def _tables(database_url: str) -> list[list[Any]]:
    read = []
    with cursor_of(database_url) as cursor:
        for query in TABLES:
            cursor.execute(query)
            read.append([row[0] for row in cursor.fetchall()])
    return read


def _difference(wanted: list[Any], found: list[Any]) -> str:
    if len(wanted) != len(found):
        return f"{len(wanted)} rows, and {len(found)}"
    first = next((pair for pair in zip(wanted, found, strict=True) if pair[0] != pair[1]), ("", ""))
    return f"{str(first[0])[:300]} and {str(first[1])[:300]}"


EXPERIMENTS = (EngineKill(),)
