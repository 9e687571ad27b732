"""Strategies that hang, in a real worker: each handler under its deadline, and the way back."""

from pathlib import Path

import pytest

from tests.acceptance.conftest import StartWorker
from tests.support import eventually

TOKEN = "open-sesame"  # noqa: S105 — of this test

HANGING = """
import hashlib, re, threading, time
from strategies.base_strategy import BaseStrategy

class Hanging(BaseStrategy):
    name = "hanging"

    def {handler}(self, *_):
        {hang}
{others}
"""
OTHERS = {"on_bar": "    def on_bar(self, bar): pass", "on_trade": "    def on_trade(self, trade): pass"}


def write_strategy(folder: Path, handler: str, hang: str) -> None:
    others = "\n".join(code for name, code in OTHERS.items() if name != handler)
    (folder / "hanging.py").write_text(HANGING.format(handler=handler, hang=hang, others=others))


@pytest.mark.parametrize("hang", ["while True: pass", "time.sleep(3600)"])
@pytest.mark.parametrize("handler", ["__init__", "on_start", "on_bar"])
def test_a_handler_that_never_ends_is_quarantined_and_the_worker_goes_on(
    start_worker: StartWorker, tmp_path: Path, handler: str, hang: str
) -> None:
    write_strategy(tmp_path, handler, hang)
    worker = start_worker(STRATEGIES_PATH=str(tmp_path), HANDLER_DEADLINE_MAX_MS="500")
    worker.control("subscribe", "AAPL", "hanging", "s1")
    eventually(lambda: worker.sessions().get("s1"))
    worker.subscribe("AAPL", "mock", "s2")
    for minute in range(10):
        worker.bar("AAPL", minute)
    eventually(lambda: worker.sessions()["s1"]["state"] == "QUARANTINED")
    assert "longer than" in worker.sessions()["s1"]["reason"]
    eventually(lambda: worker.sessions()["s2"]["bars"] == 10)
    assert worker.get("/health").status_code == 200


@pytest.mark.parametrize(
    "hang",
    ["re.match('(a+)+$', 'a' * 64 + 'b')", "threading.Semaphore(0).acquire()", "time.sleep(3600)"],
)
def test_one_call_into_c_that_never_ends_is_interrupted_where_it_is(
    start_worker: StartWorker, tmp_path: Path, hang: str
) -> None:
    write_strategy(tmp_path, "on_bar", hang)
    worker = start_worker(STRATEGIES_PATH=str(tmp_path))
    worker.subscribe("AAPL", "hanging", "s1")
    worker.subscribe("AAPL", "mock", "s2")
    for minute in range(10):
        worker.bar("AAPL", minute)
    eventually(lambda: worker.sessions()["s2"]["bars"] == 10)
    session = worker.sessions()["s1"]
    assert session["state"] == "QUARANTINED"
    assert session["reason"] == "a call took longer than 0.25 s, in on_bar, line 9"
    assert '"handler_does_not_return"' not in worker.process.output
    assert worker.get("/health").status_code == 200


def test_a_call_into_c_that_nothing_interrupts_is_left_behind_and_does_not_keep_the_worker_from_ending(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    write_strategy(tmp_path, "on_bar", "hashlib.pbkdf2_hmac('sha256', b'', b'', 1 << 30)")
    worker = start_worker(STRATEGIES_PATH=str(tmp_path), SHUTDOWN_SECONDS="4")
    worker.subscribe("AAPL", "hanging", "s1")
    worker.subscribe("AAPL", "mock", "s2")
    for minute in range(10):
        worker.bar("AAPL", minute)
    eventually(lambda: worker.sessions()["s2"]["bars"] == 10)
    assert "did not return" in worker.sessions()["s1"]["reason"]
    worker.process.terminate()
    assert worker.process.wait(20) == 0
    assert '"every_on_stop_returned": true' in worker.process.output


def test_a_list_that_would_hold_up_everybody_is_refused_at_once(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    write_strategy(tmp_path, "on_bar", "self.kept = [0] * (1 << 26)")
    settings = {"MEMORY_STEP_MB": "256", "MAX_HANDLER_ERRORS": "3"}
    worker = start_worker(STRATEGIES_PATH=str(tmp_path), **settings)
    worker.subscribe("AAPL", "hanging", "s1")
    worker.subscribe("AAPL", "mock", "s2")
    for minute in range(5):
        worker.bar("AAPL", minute)
    eventually(lambda: worker.sessions()["s2"]["bars"] == 5)
    session = worker.sessions()["s1"]
    assert session["state"] == "ERROR"
    assert (
        "MemoryError: more memory than there is, or than MEMORY_STEP_MB allows at once" in session["reason"]
    )


def test_an_on_stop_that_hangs_does_not_hold_up_the_end_of_the_worker(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    write_strategy(tmp_path, "on_stop", "time.sleep(3600)")
    worker = start_worker(STRATEGIES_PATH=str(tmp_path))
    worker.subscribe("AAPL", "hanging", "s1")
    worker.subscribe("AAPL", "mock", "s2")
    worker.process.terminate()
    assert worker.process.wait(20) == 0
    assert '"every_on_stop_returned": true' in worker.process.output


def test_a_quarantined_session_is_brought_back_by_whoever_has_the_token(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    mark = str(tmp_path / "hung")
    once = f"import os\n        if not os.path.exists({mark!r}): os.mkdir({mark!r}), time.sleep(3600)"
    write_strategy(tmp_path, "on_bar", once)
    worker = start_worker(STRATEGIES_PATH=str(tmp_path), CONTROL_TOKEN=TOKEN)
    worker.subscribe("BTC/USD", "hanging")
    worker.bar("BTC/USD", 0)
    eventually(lambda: worker.sessions()["hanging"]["state"] == "QUARANTINED")
    url, right = "/sessions/hanging/resume", {"Authorization": f"Bearer {TOKEN}"}
    assert worker.post(url).status_code == 401
    assert worker.post(url, headers={"Authorization": "Bearer guess"}).status_code == 401
    assert worker.post("/sessions/nobody/resume", headers=right).status_code == 404
    assert worker.post(url, headers=right).status_code == 202
    eventually(lambda: worker.sessions()["hanging"]["state"] == "RUNNING")
    worker.bar("BTC/USD", 1)
    eventually(lambda: worker.sessions()["hanging"]["bars"] == 1)


def test_without_a_configured_token_nobody_gives_orders(start_worker: StartWorker) -> None:
    worker = start_worker()
    assert worker.post("/sessions/s1/resume", headers={"Authorization": "Bearer "}).status_code == 401
