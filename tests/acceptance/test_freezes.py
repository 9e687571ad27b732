"""A strategy that holds the interpreter's lock for ever, in a real worker: how it ends, and the way back."""

import os
import signal
import time
from pathlib import Path

from tests.acceptance.conftest import LiveWorker, StartWorker
from tests.support import eventually

TOKEN = "open-sesame"  # noqa: S105 — of this test

FREEZING = """
import itertools
from strategies.base_strategy import BaseStrategy

class Freezing(BaseStrategy):
    name = "freezing"

    def on_bar(self, bar):
        if bar.volume == 13:
            sum(itertools.repeat(0))

    def on_trade(self, trade): pass
"""


def start(start_worker: StartWorker, folder: Path) -> LiveWorker:
    folder.joinpath("freezing.py").write_text(FREEZING)
    return start_worker(
        STRATEGIES_PATH=str(folder),
        RUN_PATH=str(folder / "run"),
        FREEZE_SECONDS="1",
        HANDLER_DEADLINE_MAX_MS="500",
        CONTROL_TOKEN=TOKEN,
    )


def test_a_frozen_worker_ends_and_the_next_one_holds_the_class_that_froze_it(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    first = start(start_worker, tmp_path)
    first.subscribe("AAPL", "freezing", "s1")
    first.subscribe("MSFT", "freezing", "s2")
    first.subscribe("AAPL", "mock", "s3")
    first.bar("AAPL", 0, volume=13)
    assert first.process.wait(60) == -signal.SIGABRT

    second = start(start_worker, tmp_path)
    sessions = second.sessions()
    assert {key: session["state"] for key, session in sessions.items()} == {
        "s1": "QUARANTINED",
        "s2": "QUARANTINED",
        "s3": "RUNNING",
    }
    assert "froze the worker at 20" in sessions["s1"]["reason"]
    assert "in on_bar, freezing.py line 10; session resume brings it back" in sessions["s1"]["reason"]
    assert '"worker_froze"' in second.process.output
    second.bar("AAPL", 1)
    eventually(lambda: second.sessions()["s3"]["bars"] == 1)

    second.post("/sessions/s1/resume", headers={"Authorization": f"Bearer {TOKEN}"})
    eventually(lambda: second.sessions()["s1"]["state"] == "RUNNING")
    second.subscribe("AAPL", "freezing", "s4")
    assert second.sessions()["s2"]["state"] == "QUARANTINED"


def test_a_worker_that_was_stopped_and_continued_is_not_taken_for_frozen(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start(start_worker, tmp_path)
    worker.subscribe("AAPL", "mock", "s1")
    os.kill(worker.process.pid, signal.SIGSTOP)
    since = time.monotonic()
    eventually(lambda: time.monotonic() - since > 2)
    os.kill(worker.process.pid, signal.SIGCONT)
    worker.bar("AAPL", 0)
    eventually(lambda: worker.sessions()["s1"]["bars"] == 1)
    worker.process.terminate()
    assert worker.process.wait(30) == 0
    assert list(tmp_path.rglob("*.stacks")) == []  # nothing to be remembered
