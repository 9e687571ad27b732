"""A backtest of a strategy that hangs ends by itself, and at Ctrl-C, in a process as people run it."""

import os
import re
import signal
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from services.embedded.supervisor import process_table
from tests.integration.command_line import command
from tests.support import REPOSITORY, RunningProcess, eventually, running_process

HANGING = """
import re, sys, time
from strategies.base_strategy import BaseStrategy
from strategies.parameters import Parameter, Parameters

class Hanging(BaseStrategy):
    name = "hanging"
    parameters = Parameters(when=Parameter("{when}"), fast=Parameter(1))

    def __init__(self, *given):
        super().__init__(*given)
        self.hang("making")

    @property
    def watched_symbols(self):
        self.hang("watching")
        return ()

    def on_start(self):
        self.hang("starting")

    def on_bar(self, bar):
        self.hang("told")

    def on_stop(self):
        self.hang("stopping")

    def hang(self, when):
        if when == self.parameters.when:
            {hang}

    def on_trade(self, trade): pass
"""
LINE = 1 + HANGING[: HANGING.index("{hang}")].count("\n")
BARS = "symbol,timestamp,open,high,low,close,volume\n" + "".join(
    f"AAPL,2026-01-{day:02}T21:00:00Z,1,1,1,1,1\n" for day in range(5, 10)
)
LOOP = "while True: pass"
HANGS = (LOOP, "time.sleep(3600)", "re.match('(a+)+$', 'a' * 64 + 'b')")
TOO_LONG = f"a call took longer than 0.5 s, in hang, line {LINE}"


def words_and_settings(
    folder: Path, hang: str, deadline_ms: int, when: str
) -> tuple[list[str], dict[str, str]]:
    (folder / "hanging.py").write_text(HANGING.format(hang=hang, when=when))
    (folder / "bars.csv").write_text(BARS)
    words = ["backtest", "--strategy", "hanging", "--data", str(folder / "bars.csv")]
    settings = {
        "STRATEGIES_PATH": str(folder),
        "HANDLER_DEADLINE_MAX_MS": str(deadline_ms),
        "FREEZE_SECONDS": "0",
    }
    return words, settings


def backtest(
    folder: Path, hang: str, deadline_ms: int, when: str = "told"
) -> AbstractContextManager[RunningProcess]:
    words, settings = words_and_settings(folder, hang, deadline_ms, when)
    return running_process([sys.executable, str(REPOSITORY / "main.py"), *words], env=settings)


@pytest.mark.parametrize("hang", HANGS)
@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("told", "hanging was given up at 2026-01-05 21:00: "),
        ("making", "error: hanging cannot be made: "),
    ],
)
def test_a_call_that_hangs_is_interrupted_and_the_strategy_given_up(
    tmp_path: Path, hang: str, when: str, told: str
) -> None:
    with backtest(tmp_path, hang, 500, when) as process:
        assert process.wait() == 1
        assert told + TOO_LONG in " ".join(process.output.split())


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("watching", "error: hanging cannot be made: "),
        ("starting", "error: hanging cannot be started: "),
        ("stopping", "hanging was given up at 2026-01-09 21:00: "),
    ],
)
@pytest.mark.parametrize("further", [(), ("--symbol", "AAPL"), ("--lookahead-check",)])
def test_whatever_hangs_is_ended_with_the_line_where_it_was(
    tmp_path: Path, when: str, told: str, further: tuple[str, ...]
) -> None:
    words, settings = words_and_settings(tmp_path, LOOP, 500, when)
    ended = command(*words, *further, **settings)
    assert ended.code == 1
    assert told + TOO_LONG in " ".join(ended.output.split())
    assert "decides the same" not in ended.output


@pytest.mark.parametrize("when", ["making", "starting", "told"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_trial_of_a_sweep_that_hangs_is_ended_with_that_reason(
    tmp_path: Path, when: str, workers: str
) -> None:
    words, settings = words_and_settings(tmp_path, LOOP, 500, "never")
    sweep = ("--sweep", f"when={when},never", "--workers", workers, "--json")
    ended = command(*words, *sweep, "--objective", "total_return", **settings)
    assert ended.code == 0
    hung, fine = ended.json["trials"]
    assert hung["reason"].endswith(TOO_LONG)
    assert fine["total_return"] == 0.0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_the_processes_of_a_sweep_end_with_it(tmp_path: Path, number: signal.Signals) -> None:
    hang = "import os; print('hangs:', os.getpid(), file=sys.stderr, flush=True); time.sleep(3600)"
    words, settings = words_and_settings(tmp_path, hang, 600_000, "told")
    sweep = ("--sweep", "fast=1,2", "--workers", "2")
    with running_process([sys.executable, str(REPOSITORY / "main.py"), *words, *sweep], settings) as process:
        pids = eventually(lambda: two_of(re.findall(r"^hangs: (\d+)$", process.output, re.MULTILINE)), 30.0)
        os.kill(process.pid, number)
        process.wait()
        eventually(lambda: not set(pids) & set(dict(process_table())), message="they end too")


def two_of(found: list[str]) -> list[int] | None:
    return [int(each) for each in found] if len(found) == 2 else None


def test_a_person_can_interrupt_it_before(tmp_path: Path) -> None:
    said_before = "print('hangs', file=sys.stderr, flush=True)"
    with backtest(tmp_path, f"{said_before}; time.sleep(3600)", 600_000) as process:
        process.said("hangs")
        os.kill(process.pid, signal.SIGINT)
        assert process.wait() == 130
