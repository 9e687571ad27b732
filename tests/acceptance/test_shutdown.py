"""SIGTERM under load, twice, and in the first milliseconds of a start."""

import json
import signal
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.acceptance.conftest import LiveWorker, StartWorker, bar
from tests.gateway_stub import HANG, Answer, GatewayStub, Received
from tests.support import eventually

SYMBOLS = [f"SYM{number}" for number in range(10)]
SHUTDOWN_SECONDS = 20

BUSY = """
from pathlib import Path
from strategies.base_strategy import BaseStrategy

class Busy(BaseStrategy):
    name = "busy"
    sent = 0
    answered = 0

    def on_bar(self, bar):
        self.sent += 1
        self.send_signal("BUY", bar.close, 1)

    def on_trade(self, trade):
        pass

    def on_execution(self, report):
        self.answered += 1

    def on_stop(self):
        self.send_signal("SELL", 100.0, 1)
        Path({folder!r}, self.session_id).write_text(f"{{self.sent}} {{self.answered}}")
"""


@pytest.fixture
def strategies(tmp_path: Path) -> Path:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "busy.py").write_text(BUSY.format(folder=str(tmp_path)))
    return folder


class Feed:
    """Publishes bars of every symbol without pause, until it is told to stop."""

    def __init__(self, worker: LiveWorker) -> None:
        self._worker = worker
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        for minute in count():
            for symbol in SYMBOLS:
                self._worker.redis.publish(f"market_data:{symbol}", json.dumps(bar(symbol, minute)))
            if self._stop.wait(0.01):
                return


def test_sigterm_under_load_loses_no_signal_and_calls_every_on_stop(
    start_worker: StartWorker, strategies: Path, tmp_path: Path
) -> None:
    with GatewayStub() as gateway:

        def slow(received: Received) -> Answer:
            friendly = gateway.friendly(received)
            return Answer(friendly.status, friendly.body, delay=0.02)

        gateway.answer = slow
        worker = start_worker(
            GATEWAY_URL=gateway.url, STRATEGIES_PATH=str(strategies), SHUTDOWN_SECONDS=str(SHUTDOWN_SECONDS)
        )
        for number, symbol in enumerate(SYMBOLS):
            worker.subscribe(symbol, "busy", f"s{number}")
        with Feed(worker):
            eventually(lambda: len(gateway.posts) > 100)
            worker.process.terminate()
            assert worker.process.wait(SHUTDOWN_SECONDS) == 0
        received = [post.json for post in gateway.posts]
    for number in range(len(SYMBOLS)):
        sent, answered = map(int, (tmp_path / f"s{number}").read_text().split())
        of_session = [signal for signal in received if signal["sessionId"] == f"s{number}"]
        assert answered == sent  # every strategy heard of all its signals before on_stop
        assert [each["action"] for each in of_session] == ["BUY"] * sent + ["SELL"]
        assert len({each["signalId"] for each in of_session}) == sent + 1
    assert '"signals_left": 0' in worker.process.output


def test_signals_that_cannot_arrive_are_named_before_the_process_ends_in_time(
    start_worker: StartWorker, strategies: Path
) -> None:
    with GatewayStub() as gateway:
        gateway.answer = lambda _: HANG
        worker = start_worker(GATEWAY_URL=gateway.url, STRATEGIES_PATH=str(strategies), SHUTDOWN_SECONDS="3")
        worker.subscribe("AAPL", "busy", "s1")
        worker.bar("AAPL", 0)
        signal_id = eventually(lambda: [post.json["signalId"] for post in gateway.posts])[0]
        worker.process.terminate()
        assert worker.process.wait(15) == 0
    assert "signal_left_behind" in worker.process.output
    assert signal_id in worker.process.output


def test_a_second_sigterm_ends_the_process_at_once(start_worker: StartWorker, strategies: Path) -> None:
    with GatewayStub() as gateway:
        gateway.answer = lambda _: HANG
        worker = start_worker(
            GATEWAY_URL=gateway.url,
            STRATEGIES_PATH=str(strategies),
            SHUTDOWN_SECONDS="600",
            GATEWAY_TIMEOUT="600",
            SIGNAL_TTL_SECONDS="600",
        )
        worker.subscribe("AAPL", "busy", "s1")
        worker.bar("AAPL", 0)
        eventually(lambda: gateway.posts)
        worker.process.terminate()
        eventually(lambda: "worker_stopping" in worker.process.output)
        worker.process.terminate()
        assert worker.process.wait(30) == 128 + signal.SIGTERM


@pytest.mark.parametrize("milliseconds", [0, 2, 5, 10, 20, 50, 100, 200, 400, 800])
def test_sigterm_during_the_start_ends_the_process_in_order(
    start_worker: StartWorker, milliseconds: int
) -> None:
    worker = start_worker(ready=False)
    Event().wait(milliseconds / 1000)
    worker.process.terminate()
    # Before Python itself listens, the signal simply ends the process; afterwards it is an orderly stop.
    assert worker.process.wait(30) in {0, -signal.SIGTERM}
    assert "Traceback" not in worker.process.output
