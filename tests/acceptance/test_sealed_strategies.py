"""A stranger's strategy from its file to its signals: stored, started, reloaded, quarantined."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import StartWorker
from tests.gateway_stub import GatewayStub
from tests.integration.command_line import command
from tests.support import eventually

SOURCE = """
bars = 0
def on_bar(bar):
    global bars
    bars += 1
    send_signal("BUY", bar.close, parameters.units, metadata={"bars": bars, "version": 1})
def on_stop():
    send_signal("SELL", 1.0, 1.0, metadata={"bars": bars, "version": 1})
def get_state():
    return {"bars": bars}
def set_state(state):
    global bars
    bars = state["bars"]
"""
FORBIDDEN = "import sys\ndef on_bar(bar):\n    sys.modules['posix'].getppid()\n"


@pytest.fixture
def gateway() -> Iterator[GatewayStub]:
    with GatewayStub() as stub:
        yield stub


def told(gateway: GatewayStub) -> list[tuple[object, object]]:
    return [(each.json["metadata"]["version"], each.json["metadata"]["bars"]) for each in gateway.posts]


def test_stored_code_runs_is_reloaded_and_goes_on_after_a_restart(
    start_worker: StartWorker, gateway: GatewayStub, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    settings = {"DATABASE_URL": database_url, "GATEWAY_URL": gateway.url, "CONTROL_TOKEN": "open-sesame"}

    def put(source: str) -> str:
        file.write_text(source)
        words = ("strategies", "put", str(file), "--name", "mine", "--symbol", "AAPL", "--param", "units=2")
        ended = command(*words, "--json", DATABASE_URL=database_url)
        assert ended.code == 0, ended.output
        return str(ended.json["strategy_id"])

    strategy = put(SOURCE)
    worker = start_worker(**settings)
    worker.subscribe("AAPL", strategy, "s1")
    eventually(lambda: worker.sessions().get("s1", {}).get("state") == "RUNNING", 20)
    worker.bar("AAPL", 1)
    worker.bar("AAPL", 2)
    eventually(lambda: told(gateway) == [(1, 1), (1, 2)])
    assert gateway.posts[0].json["quantity"] == 2.0

    assert put(SOURCE.replace('"version": 1', '"version": 2')) == strategy
    headers = {"Authorization": "Bearer open-sesame"}
    assert worker.post(f"/strategies/{strategy}/reload", headers).status_code == 202
    eventually(lambda: worker.sessions()["s1"]["sandbox"]["reloads"] == 1)
    worker.bar("AAPL", 3)
    eventually(lambda: told(gateway)[2:] == [(2, 3)])
    assert worker.metric("sandbox_hosts") == 1
    worker.process.terminate()
    assert worker.process.wait() == 0
    assert told(gateway)[3:] == [(2, 3)]  # of on_stop

    again = start_worker(**settings)
    eventually(lambda: again.sessions().get("s1", {}).get("state") == "RUNNING", 20)
    assert again.sessions()["s1"]["stateReason"] is None
    again.bar("AAPL", 4)
    eventually(lambda: told(gateway)[4:] == [(2, 4)])


def test_stored_code_has_its_own_limit_of_memory_and_not_that_of_the_worker(
    start_worker: StartWorker, gateway: GatewayStub, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "large.py"
    file.write_text("def on_bar(bar):\n    kept = bytes(300 << 20)\n    send_signal('BUY', bar.close, 1)\n")
    words = ("strategies", "put", str(file), "--name", "large", "--symbol", "AAPL", "--untried", "--json")
    strategy = str(command(*words, DATABASE_URL=database_url).json["strategy_id"])
    settings = {"DATABASE_URL": database_url, "GATEWAY_URL": gateway.url, "MEMORY_STEP_MB": "256"}
    worker = start_worker(**settings, SANDBOX_MEMORY_MB="512")
    worker.subscribe("AAPL", strategy, "s1")
    eventually(lambda: worker.sessions().get("s1", {}).get("state") == "RUNNING", 20)
    worker.bar("AAPL", 1)
    eventually(lambda: len(gateway.posts) == 1)


def test_a_quarantine_holds_over_a_restart_until_a_person_lifts_it(
    start_worker: StartWorker, gateway: GatewayStub, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.py"
    file.write_text(FORBIDDEN)
    words = ("strategies", "put", str(file), "--name", "bad", "--symbol", "AAPL", "--untried", "--json")
    strategy = str(command(*words, DATABASE_URL=database_url).json["strategy_id"])
    settings = {"DATABASE_URL": database_url, "GATEWAY_URL": gateway.url, "CONTROL_TOKEN": "open-sesame"}
    worker = start_worker(**settings)
    worker.subscribe("AAPL", strategy, "s1")
    eventually(lambda: worker.sessions().get("s1", {}).get("state") == "RUNNING", 20)
    worker.bar("AAPL", 1)
    eventually(lambda: worker.sessions()["s1"]["state"] == "QUARANTINED")
    worker.control("unsubscribe", "AAPL", None, "s1")
    eventually(lambda: "s1" not in worker.sessions())
    worker.process.terminate()
    assert worker.process.wait() == 0

    again = start_worker(**settings)
    again.control("subscribe", "AAPL", strategy, "s1")
    eventually(lambda: again.sessions().get("s1", {}).get("state") == "QUARANTINED", 20)
    assert "system call" in again.sessions()["s1"]["reason"]
    assert again.post("/sessions/s1/resume", {"Authorization": "Bearer open-sesame"}).status_code == 202
    eventually(lambda: again.sessions()["s1"]["state"] == "RUNNING", 20)
