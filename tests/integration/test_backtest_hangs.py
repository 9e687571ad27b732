"""A backtest of a strategy that hangs ends by itself, and at Ctrl-C, in a process as people run it."""

import os
import signal
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support import REPOSITORY, RunningProcess, running_process

HANGING = """
import re, sys, time
from strategies.base_strategy import BaseStrategy

class Hanging(BaseStrategy):
    name = "hanging"

    def on_bar(self, bar):
        print("hangs", file=sys.stderr, flush=True)
        {hang}

    def on_trade(self, trade): pass
"""
BARS = "symbol,timestamp,open,high,low,close,volume\n" + "".join(
    f"AAPL,2026-01-{day:02}T21:00:00Z,1,1,1,1,1\n" for day in range(5, 10)
)


def backtest(folder: Path, hang: str, deadline_ms: int) -> AbstractContextManager[RunningProcess]:
    (folder / "hanging.py").write_text(HANGING.format(hang=hang))
    (folder / "bars.csv").write_text(BARS)
    words = ["backtest", "--strategy", "hanging", "--data", str(folder / "bars.csv")]
    settings = {
        "STRATEGIES_PATH": str(folder),
        "HANDLER_DEADLINE_MAX_MS": str(deadline_ms),
        "FREEZE_SECONDS": "0",
    }
    return running_process([sys.executable, str(REPOSITORY / "main.py"), *words], env=settings)


@pytest.mark.parametrize(
    "hang", ["while True: pass", "time.sleep(3600)", "re.match('(a+)+$', 'a' * 64 + 'b')"]
)
def test_a_call_that_hangs_is_interrupted_and_the_strategy_given_up(tmp_path: Path, hang: str) -> None:
    with backtest(tmp_path, hang, 500) as process:
        assert process.wait() == 1
        told = " ".join(process.output.split())
        assert "hanging was given up at 2026-01-05 21:00: a call took longer than 0.5 s, in on_bar" in told


def test_a_person_can_interrupt_it_before(tmp_path: Path) -> None:
    with backtest(tmp_path, "while True: pass", 600_000) as process:
        process.said("hangs")
        os.kill(process.pid, signal.SIGINT)
        assert process.wait() == 130
