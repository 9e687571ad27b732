"""The programs that are measured from outside: a real worker, and the bare poster beside it."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import redis
import requests
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import strategies
from benchmarks.feed import PATIENCE_SECONDS
from benchmarks.rows import MeasurementError
from services.control_listener import CONTROL_CHANNEL
from services.embedded.launcher import free_ports

REPOSITORY = Path(__file__).parent.parent
POLL_SECONDS = 0.02
ENDING_SECONDS = 10.0


class WorkerProcess:
    """`python main.py` with the strategies of the benchmarks, asked over HTTP and told over Redis."""

    def __init__(self, process: subprocess.Popen[bytes], redis_url: str, port: int) -> None:
        self._process = process
        self._redis = redis.Redis.from_url(redis_url)
        self._http = requests.Session()
        self._http.trust_env = False
        self._url = f"http://127.0.0.1:{port}"
        wait_for(self._is_ready, "the worker is not ready")

    def start_sessions(self, strategy: str, symbols: list[str], count: int) -> None:
        """Start so many more sessions, the symbols taking turns, and wait until they run."""
        before = int(self.metric("worker_sessions", state="RUNNING"))
        for number in range(before, before + count):
            event = {
                "action": "subscribe",
                "symbol": symbols[number % len(symbols)],
                "type": "stock",
                "strategyId": strategy,
                "sessionId": f"session-{number}",
            }
            self._redis.publish(CONTROL_CHANNEL, json.dumps(event))
        self.expect("worker_sessions", before + count, state="RUNNING")

    def metric(self, name: str, **labels: str) -> float:
        """Return one number of /metrics; 0 when it is not there yet."""
        answer = self._http.get(f"{self._url}/metrics", timeout=PATIENCE_SECONDS)
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return 0.0

    def expect(self, name: str, value: float, **labels: str) -> None:
        """Wait until a number of /metrics is exactly this. Raises MeasurementError when it never is."""
        wait_for(
            lambda: self.metric(name, **labels) == value,
            f"{name}{labels or ''} of the worker is not {value:g}",
        )

    def resident_kib(self) -> float:
        """Return the memory that the process holds now, in KiB."""
        status = Path(f"/proc/{self._process.pid}/status")
        if status.exists():
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
            return float(lines["VmRSS"].split()[0])
        command = ["ps", "-o", "rss=", "-p", str(self._process.pid)]
        return float(subprocess.run(command, capture_output=True, check=True).stdout)  # noqa: S603 — as above

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise MeasurementError("the worker ended while it started")
        try:
            return self._http.get(f"{self._url}/ready", timeout=PATIENCE_SECONDS).ok
        except requests.ConnectionError:
            return False


@contextmanager
def running_worker(
    redis_url: str, gateway_url: str, database_url: str | None = None
) -> Iterator[WorkerProcess]:
    """Run a worker, its outbox in memory or in this database; what it logs below errors goes nowhere."""
    port = next(free_ports())
    with tempfile.TemporaryDirectory(prefix="strategy-worker-bench-") as folder:
        shutil.copy(strategies.__file__, folder)
        environment = {
            "REDIS_URL": redis_url,
            "GATEWAY_URL": gateway_url,
            "STRATEGIES_PATH": folder,
            "HEALTH_PORT": str(port),
            "METRICS_PORT": "0",
            "LOG_LEVEL": "ERROR",
        }
        if database_url is not None:
            environment["DATABASE_URL"] = database_url
        command = [sys.executable, str(REPOSITORY / "main.py")]
        process = subprocess.Popen(command, env=environment, cwd=folder)  # noqa: S603 — this interpreter, our file
        with ended(process):
            yield WorkerProcess(process, redis_url, port)


@contextmanager
def running_poster(  # noqa: PLR0913 — all of them are its order
    redis_url: str,
    gateway_url: str,
    channel: str,
    *,
    threads: int,
    posts: int,
    database_url: str | None = None,
) -> Iterator[None]:
    """Run the bare poster: at every message of `channel` it posts `posts` signals over `threads` threads.

    With one thread it can write them into a database before.
    """
    order = {
        "redis_url": redis_url,
        "gateway_url": gateway_url,
        "channel": channel,
        "threads": threads,
        "posts": posts,
        "database_url": database_url,
    }
    command = [sys.executable, "-m", "benchmarks.bare_poster"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=REPOSITORY)  # noqa: S603 — as above
    with ended(process), redis.Redis.from_url(redis_url) as client:
        if process.stdin is not None:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
        wait_for(
            lambda: dict(client.pubsub_numsub(channel))[channel.encode()] == 1, "the poster is not there"
        )
        yield


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the process when the block ends, by force if it must be."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], bool], complaint: str) -> None:
    """Wait for a condition; raises MeasurementError with the complaint when it takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = Event()
    while not condition():
        if time.monotonic() > deadline:
            raise MeasurementError(f"{complaint} after {PATIENCE_SECONDS:.0f} s")
        pause.wait(POLL_SECONDS)
