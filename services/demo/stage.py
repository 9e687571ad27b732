"""Everything that the demo runs beside itself: two servers, the paper gateway, and a real worker."""

import secrets
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

import requests

from services.db_client import Database, migrate
from services.demo.child import ENDED_SECONDS, Child, Program
from services.demo.failure import DemoFailed
from services.demo.lineup import Entry
from services.demo.worker_view import WorkerView
from services.embedded import EmbeddedPostgres, EmbeddedServerError, EmbeddedValkey
from services.embedded.launcher import free_ports

MAIN = Path(__file__).resolve().parents[2] / "main.py"
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
READY_SECONDS = 30.0
PORT_ATTEMPTS = 5
PORT_TAKEN = ("Address already in use", "is taken")
POLL_SECONDS = 0.05
ANSWER_SECONDS = 5.0
ENDING_SECONDS = 15.0
WORKER_SETTINGS = {
    "METRICS_PORT": "0",
    "GATEWAY_IDEMPOTENT": "true",
    "SIGNAL_TTL_SECONDS": "300",  # prices played as fast as possible make signals queue
    "SHUTDOWN_SECONDS": "10",
    # Thirteen years pass in half a minute, and all of them within one trading day.
    "REBALANCE_SECONDS": "2",
    "POSITION_CHECK_SECONDS": "1",
    "RISK_MAX_DAILY_LOSS": "1",
    "RISK_MAX_DAILY_LOSS_AMOUNT": "10000000",
}
OK = 200
CREATED = 201


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where everything is; the first two hold passwords, the last three are secrets."""

    redis_url: str = field(repr=False)
    database_url: str = field(repr=False)
    gateway_url: str
    worker_url: str
    gateway_token: str = field(repr=False)
    gateway_hmac_secret: str = field(repr=False)
    control_token: str = field(repr=False)

    def settings(self) -> dict[str, str]:
        """Return the settings by which worker and gateway are found and commanded, by their names."""
        return {
            "REDIS_URL": self.redis_url,
            "DATABASE_URL": self.database_url,
            "GATEWAY_URL": self.gateway_url,
            "GATEWAY_TOKEN": self.gateway_token,
            "GATEWAY_HMAC_SECRET": self.gateway_hmac_secret,
            "CONTROL_TOKEN": self.control_token,
        }


class Stage:
    """Runs from `with` on, and ends with it; what it runs ends with us even when we are killed.

    Logs go to files in `folder`. `tell` is told, in a few words, what is up.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._tell = tell
        self._running = ExitStack()
        self._wait = Event()  # never set: Ctrl-C ends a wait
        self._http = requests.Session()
        self._http.trust_env = False

    def __enter__(self) -> Self:
        try:
            self._start_servers()
            self._start_programs()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.close()

    def start_session(self, entry: Entry) -> None:
        """Have the gateway open an account and a session, of which it tells the worker. Raises DemoFailed."""
        wanted = {
            "symbol": entry.symbol,
            "type": "stock",
            "strategyId": entry.strategy_id or entry.strategy,
            "userId": entry.session_id,
            "sessionId": entry.session_id,
        }
        url, headers = self.addresses.gateway_url, {"Authorization": f"Bearer {self.addresses.gateway_token}"}
        try:
            answer = self._http.post(f"{url}/sessions", json=wanted, headers=headers, timeout=ANSWER_SECONDS)
        except requests.RequestException as error:
            raise self.gateway.failure(f"did not start {entry.session_id}: {error}") from error
        if answer.status_code != CREATED or not answer.json()["published"]:
            raise self.gateway.failure(f"answered {answer.status_code} to {entry.session_id}: {answer.text}")

    def run_to_its_end(self, name: str, seconds: float, *arguments: str) -> None:
        """Run a command of the worker's until it ends by itself. Raises DemoFailed unless it exits with 0."""
        with self._child(name, {"HEALTH_PORT": "0", "METRICS_PORT": "0"}, *arguments) as child:
            if child.end(seconds) != 0:
                raise child.failure("did not end well")

    def check(self) -> None:
        """Raise DemoFailed, with the end of its log, when gateway or worker has ended."""
        self.gateway.check()
        self.worker.check()

    def look_for_an_end(self) -> None:
        """Raise DemoFailed like `check`, but also for an end that becomes known only in the next moments.

        For when something else has failed: a program that dies leaves its work undone, its port and its
        subscription first, and only then is its exit code known.
        """
        deadline = time.monotonic() + ENDED_SECONDS
        while time.monotonic() < deadline:
            self.check()
            self._wait.wait(POLL_SECONDS)

    def stop_worker(self) -> None:
        """Stop the worker by SIGTERM, as an operator would. Raises DemoFailed unless it exits with 0."""
        if self.worker.stop() != 0:
            raise self.worker.failure("did not stop")

    def _start_servers(self) -> None:
        started = time.monotonic()
        try:
            valkey = self._running.enter_context(EmbeddedValkey())
            postgres = self._running.enter_context(EmbeddedPostgres())
        except EmbeddedServerError as error:
            raise DemoFailed(str(error)) from error
        migrate(postgres.url)
        self.database = Database(postgres.url)
        self._running.callback(self.database.close)
        self.addresses = Addresses(
            redis_url=valkey.url,
            database_url=postgres.url,
            gateway_url="",
            worker_url="",
            gateway_token=secrets.token_urlsafe(24),
            gateway_hmac_secret=secrets.token_urlsafe(24),
            control_token=secrets.token_urlsafe(24),
        )
        self._tell(f"Valkey and PostgreSQL are up, tables migrated ({time.monotonic() - started:.1f} s)")

    def _start_programs(self) -> None:
        """Start gateway and worker, on other ports where somebody took one between the choice and its use."""
        ports = free_ports()
        for attempt in range(PORT_ATTEMPTS):
            gateway_url, worker_url = (f"http://127.0.0.1:{next(ports)}" for _ in range(2))
            self.addresses = replace(self.addresses, gateway_url=gateway_url, worker_url=worker_url)
            try:
                self._start_programs_there()
            except DemoFailed as error:
                if attempt == PORT_ATTEMPTS - 1 or not any(words in error.tail for words in PORT_TAKEN):
                    raise
                self.gateway.stop()
                self.worker.stop()
            else:
                return

    def _start_programs_there(self) -> None:
        started, where = time.monotonic(), self.addresses
        self.gateway = self._run("gateway", {}, "gateway", "--port", _port(where.gateway_url))
        self.worker = self._run("worker", {"HEALTH_PORT": _port(where.worker_url)} | WORKER_SETTINGS)
        self.view = WorkerView(where.worker_url, self.worker.failure)
        self._running.callback(self.view.close)
        self._wait_until(self.gateway, self._gateway_is_ready)
        self._wait_until(self.worker, self.view.is_ready)
        self._tell(f"paper gateway and worker are up ({time.monotonic() - started:.1f} s)")

    def _run(self, name: str, settings: dict[str, str], *arguments: str) -> Child:
        return self._running.enter_context(self._child(name, settings, *arguments))

    def _child(self, name: str, settings: dict[str, str], *arguments: str) -> Child:
        program = Program(
            name=name,
            command=[sys.executable, str(MAIN), *arguments],
            environment=ENVIRONMENT | self.addresses.settings() | settings,
            log=self._folder / f"{name}.log",
            ending_seconds=ENDING_SECONDS,
        )
        return Child(program)

    def _gateway_is_ready(self) -> bool:
        try:
            answer = self._http.get(f"{self.addresses.gateway_url}/health", timeout=ANSWER_SECONDS)
        except requests.RequestException:
            return False
        return answer.status_code == OK

    def _wait_until(self, child: Child, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise child.failure(f"was not ready within {READY_SECONDS:.0f} s")
            self._wait.wait(POLL_SECONDS)


def _port(url: str) -> str:
    return url.rpartition(":")[2]
