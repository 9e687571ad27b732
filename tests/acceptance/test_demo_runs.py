"""`python main.py demo` as a person runs it, only shorter: answers, exit codes, and what is left behind."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command_line import command
from tests.support import REPOSITORY, RunningProcess, eventually, running_process

DEMO = [sys.executable, str(REPOSITORY / "main.py"), "demo"]
UNTIL = ["--until", "2001-06-29"]
SHORT = ["--speed", "max", *UNTIL]
SESSIONS = 22
LOOK_SECONDS = 0.1  # reading what all processes do costs as much as the demo
NOTICED_SECONDS = 0.5  # in which the demo publishes several batches
STARTED = "sessions run"  # in what the demo says of its progress


class Family:
    """All processes that a process has started, and they in turn; remembered when their parents are gone."""

    def __init__(self, ancestor: int) -> None:
        self._ancestor = ancestor
        self._seen: dict[int, str] = {}

    def look(self) -> dict[int, str]:
        """Return the command line of every process seen until now, by its id."""
        parents = {pid: int(stat[1]) for pid, stat in _processes()}
        for pid in parents:
            above = pid
            while above in parents and above != self._ancestor:
                above = parents[above]
            if above == self._ancestor and pid != self._ancestor:
                self._seen[pid] = _command_line(pid) or self._seen.get(pid, "")
        return self._seen

    def alive(self) -> list[str]:
        """Return the command lines of those that still run."""
        running = {pid for pid, stat in _processes() if stat[0] != "Z"}
        return [
            f"{pid} {line}"
            for pid, line in self._seen.items()
            if pid in running and _command_line(pid) == line
        ]

    def find(self, ending: str) -> int:
        """Return the process whose command line ends like this, once there is one."""
        return eventually(
            lambda: next((pid for pid, line in self.look().items() if line.endswith(ending)), 0),
            pause=LOOK_SECONDS,
        )


def _processes() -> Iterator[tuple[int, list[str]]]:
    for place in Path("/proc").glob("[0-9]*"):
        try:
            yield int(place.name), (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended


def _parent(pid: int) -> int:
    return next(int(stat[1]) for each, stat in _processes() if each == pid)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


@contextmanager
def _demo(folder: Path, *options: str) -> Iterator[tuple[RunningProcess, Family]]:
    with running_process([*DEMO, *options], cwd=folder) as process:
        yield process, Family(process.pid)


def _wait_for_sessions(process: RunningProcess, family: Family) -> None:
    def are_up() -> bool:
        family.look()
        return STARTED in process.output or not process.running

    eventually(are_up, seconds=40, pause=LOOK_SECONDS)
    assert process.running, process.output


def _document(folder: Path, *options: str) -> dict[str, Any]:
    """Run the demo with --json; its stderr goes to a file beside."""
    command = ["/bin/sh", "-c", 'exec "$@" 2>progress', "sh", *DEMO, "--json", *options]
    with running_process(command, cwd=folder) as process:
        family = Family(process.pid)
        eventually(lambda: family.look() and not process.running, seconds=60, pause=LOOK_SECONDS)
        assert process.wait() == 0, (folder / "progress").read_text()
        assert family.look()
        eventually(lambda: not family.alive(), message="no process is left")
        document: dict[str, Any] = json.loads(process.output)
    return document


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What a short demo told that was played as fast as it goes, and the folder that it ran in."""
    folder = tmp_path_factory.mktemp("fast")
    return _document(folder, *SHORT), folder


def test_a_demo_ends_with_books_that_agree_and_leaves_only_report_and_logs(
    fast: tuple[dict[str, Any], Path],
) -> None:
    told, folder = fast
    bars, signals, trades = told["bars"]["published"], told["signals"], told["trades"]
    assert bars == told["bars"]["delivered"] == 3 * 337
    assert signals == told["receipts"] == trades + told["rejections"] > 100
    assert told["holds"] is True
    assert told["checks"][0] == {
        "text": f"signals {signals} = gateway receipts {signals} = trades {trades} + rejections 0",
        "holds": True,
    }
    assert len(told["sessions"]) == SESSIONS
    assert sum(session["executed"] for session in told["sessions"]) == trades
    portfolio = told["portfolio"]
    assert portfolio["status"] == "stopped"
    assert (
        portfolio["orders"] == portfolio["filled"] >= 6
    )  # each of three stocks is bought, and sold at the end
    assert portfolio["reduced_by_risk"] >= 1
    report = folder / "var" / "demo" / "report.html"
    assert told["report"] == str(report)
    assert {path.name for path in report.parent.iterdir()} == {
        "report.html",
        "worker.log",
        "gateway.log",
        "intake.log",
    }


def test_the_trades_are_the_same_at_every_speed(fast: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    slow = _document(tmp_path, "--speed", "400", *UNTIL)
    assert slow["signals"] > 0
    assert slow["sessions"] == fast[0]["sessions"]


def test_ctrl_c_ends_everything_with_130(tmp_path: Path) -> None:
    with _demo(tmp_path) as (process, family):
        _wait_for_sessions(process, family)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait() == 130
        assert "interrupted" in process.output
        assert family.alive() == []


def test_a_demo_that_is_killed_takes_everything_along(tmp_path: Path) -> None:
    with _demo(tmp_path) as (process, family):
        _wait_for_sessions(process, family)
        process.kill()
        eventually(lambda: not family.alive(), 30, "no process is left", pause=LOOK_SECONDS)


def test_a_worker_that_dies_ends_the_demo_with_its_log(tmp_path: Path) -> None:
    with _demo(tmp_path) as (process, family):
        _wait_for_sessions(process, family)
        worker = family.find("main.py")
        keeper = _parent(worker)
        os.kill(keeper, signal.SIGSTOP)  # so that the end of the worker shows before its exit code is known
        os.kill(worker, signal.SIGKILL)
        noticed = time.monotonic() + NOTICED_SECONDS
        eventually(lambda: time.monotonic() > noticed)
        assert process.running, process.output
        os.kill(keeper, signal.SIGCONT)
        assert process.wait() == 1
        assert "the worker ended with exit code 137" in process.output
        assert "session_started" in process.output
        assert family.alive() == []


def test_what_is_kept_running_can_be_looked_at(tmp_path: Path) -> None:
    with _demo(tmp_path, *SHORT, "--keep-running") as (process, family):
        eventually(
            lambda: family.look() and "Everything is still up" in process.output, 60, pause=LOOK_SECONDS
        )
        environment = tmp_path / "var" / "demo" / "environment"
        assert environment.stat().st_mode & 0o777 == 0o600
        assert "export DATABASE_URL=postgresql://" in environment.read_text()
        assert process.running
        os.kill(process.pid, signal.SIGINT)
        assert process.wait() == 130
        assert not environment.exists()
        assert family.alive() == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--speed", "0"], "neither a number of bars"),
        (["--speed", "fast"], "neither a number of bars"),
        (["--until", "1999-12-31"], "no prices until 1999-12-31"),
        (["--until", "tomorrow"], "tomorrow"),
        (["--report", "/proc/nowhere/report.html"], "/proc/nowhere"),
    ],
)
def test_wrong_options_are_refused_before_anything_starts(options: list[str], complaint: str) -> None:
    ended = command("demo", *options)
    assert ended.code == 2
    assert complaint in ended.output
