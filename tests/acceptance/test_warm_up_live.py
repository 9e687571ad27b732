"""Warming up against a real worker, while bars keep coming and sessions keep starting."""

import json
import threading
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import StartWorker, bar
from tests.gateway_stub import GatewayStub
from tests.support import eventually

SOURCE = '''
from strategies.base_strategy import BaseStrategy


class Witness(BaseStrategy):
    """Remembers the minute of every bar, and hands it out as its state."""

    warmup_bars = 20

    def __init__(self, strategy_id, symbol, session_id=None):
        super().__init__(strategy_id, symbol, session_id)
        self.minutes = []

    def on_bar(self, bar):
        self.minutes.append(int(bar.timestamp.timestamp()) // 60)
        self.send_signal("BUY", bar.close, 1) if bar.volume == 7 else None

    def on_trade(self, trade):
        pass

    def get_state(self):
        return {"minutes": self.minutes}
'''
STATES = "strategy_worker:states"
SESSIONS = 30


def test_sessions_that_start_under_a_live_feed_miss_no_bar_and_see_none_twice(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    (tmp_path / "witness.py").write_text(SOURCE)
    worker = start_worker(STRATEGIES_PATH=str(tmp_path), STATE_SECONDS="0.2")
    worker.subscribe("AAPL", "witness", "first")
    stop, minute = threading.Event(), 0

    def publish() -> None:
        nonlocal minute
        while not stop.wait(0.0005):
            worker.redis.publish("market_data:AAPL", json.dumps(bar("AAPL", minute)))
            minute += 1

    feed = threading.Thread(target=publish)
    feed.start()
    eventually(lambda: worker.delivered() > 50)
    for number in range(SESSIONS):
        worker.control("subscribe", "AAPL", "witness", f"s{number}")
    eventually(lambda: worker.metric("worker_sessions", "RUNNING") == SESSIONS + 1)
    stop.set()
    feed.join()
    eventually(lambda: worker.delivered() == minute)
    described = worker.sessions()
    assert {each["warmUpBars"] for key, each in described.items() if key != "first"} == {20}
    worker.process.terminate()
    worker.process.wait()
    entries: Any = worker.redis.hgetall(STATES)
    seen = {key.decode(): json.loads(json.loads(entry)["state"])["minutes"] for key, entry in entries.items()}
    assert len(seen) == SESSIONS + 1
    whole = seen.pop("first")
    assert whole == list(range(whole[0], whole[0] + minute))
    for key, minutes in seen.items():
        assert minutes == whole[-len(minutes) :], key
        assert len(minutes) == described[key]["bars"] + 20, key


def test_no_order_of_a_warm_up_reaches_the_gateway(start_worker: StartWorker, tmp_path: Path) -> None:
    (tmp_path / "witness.py").write_text(SOURCE)
    with GatewayStub() as gateway:
        worker = start_worker(STRATEGIES_PATH=str(tmp_path), GATEWAY_URL=gateway.url)
        worker.subscribe("AAPL", "mock", "first")
        for minute in range(4):
            worker.bar("AAPL", minute, volume=7)
        eventually(lambda: worker.delivered() == 4)
        worker.subscribe("AAPL", "witness", "late")
        session = worker.sessions()["late"]
        assert (session["warmUpBars"], session["warmUpSignals"], session["signals"]) == (4, 4, 0)
        assert session["position"]["expected"] == 0.0
        worker.bar("AAPL", 4, volume=7)
        eventually(lambda: [post.json["sessionId"] for post in gateway.posts].count("late") == 1)
