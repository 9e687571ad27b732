"""The live side: a real worker, told of everything over Redis, whose signals a gateway remembers."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event

import msgspec
import redis

from models.errors import ConfigError, StorageUnavailable
from models.session import SessionState
from models.settings import masked
from services.demo.child import Child, Program
from services.demo.failure import DemoFailed
from services.demo.worker_view import SessionView, WorkerView
from services.embedded.launcher import free_ports
from services.history.casting import asset_type_of
from services.history.record import CONTROL_CHANNEL
from services.history.replay import Message, Replay
from services.leases.table import LEASES
from services.parity.gateway import RememberingGateway
from services.parity.lineup import Entry
from services.redis_client import make_client
from services.session_registry import REGISTRY
from services.state_store import STATES

MAIN = Path(__file__).resolve().parents[2] / "main.py"
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
SETTINGS = {
    "METRICS_PORT": "0",
    "GATEWAY_IDEMPOTENT": "true",
    "SIGNAL_TTL_SECONDS": "300",  # as fast as they are read, bars make signals queue
    "OUTBOX_SIZE": "1000000",
    "LOG_LEVEL": "WARNING",
    "SHUTDOWN_SECONDS": "10",
}
READY_SECONDS = 30.0
AT_REST_SECONDS = 20.0  # without any progress
POLL_SECONDS = 0.05
AHEAD = 300


class LiveSide:
    """Plays messages to a worker of its own. Raises DemoFailed where that does not start or go on."""

    def __init__(self, redis_url: str, folder: Path, strategies_path: Path | None) -> None:
        self._redis_url = redis_url
        self._folder = folder
        self._settings = (
            {} if strategies_path is None else {"STRATEGIES_PATH": str(strategies_path.resolve())}
        )
        self._pause = Event()  # never set: Ctrl-C ends a wait

    def play(
        self, lineup: Sequence[Entry], messages: Sequence[Message], progress: Callable[[int], None] | None
    ) -> tuple[dict[str, list[bytes]], Mapping[str, SessionView]]:
        """Return the signals of each session as they came, and the sessions as they were in the end."""
        with ExitStack() as stack:
            client = stack.enter_context(closing(make_client(self._redis_url)))
            _look_for_sessions(client)
            stack.callback(_forget, client, [entry.session_id for entry in lineup])  # when the worker ended
            gateway = stack.enter_context(RememberingGateway())
            worker, view = self._start(stack, gateway.url)
            self._start_sessions(client, lineup, worker, view)
            replay, published = Replay(client, messages, None), 0
            for count in replay.run(Listening(worker, view)):
                if progress is not None:
                    progress(count - published)
                published = count
            self._rest(len(messages), view)
            return dict(gateway.bodies), view.sessions()

    def _start(self, stack: ExitStack, gateway_url: str) -> tuple[Child, WorkerView]:
        port = next(free_ports())
        where = {"REDIS_URL": self._redis_url, "GATEWAY_URL": gateway_url, "HEALTH_PORT": str(port)}
        program = Program(
            name="worker",
            command=[sys.executable, str(MAIN)],
            environment=ENVIRONMENT | SETTINGS | self._settings | where,
            log=self._folder / "worker.log",
        )
        worker = stack.enter_context(Child(program))
        view = WorkerView(f"http://127.0.0.1:{port}", worker.failure)
        stack.callback(view.close)
        self._wait_until(view.is_ready, worker, "was not ready")
        return worker, view

    def _start_sessions(
        self, client: redis.Redis, lineup: Sequence[Entry], worker: Child, view: WorkerView
    ) -> None:
        for entry in lineup:
            event = {
                "action": "subscribe",
                "symbol": entry.symbol,
                "type": asset_type_of(entry.symbol),
                "strategyId": entry.strategy,
                "sessionId": entry.session_id,
            }
            client.publish(CONTROL_CHANNEL, msgspec.json.encode(event))

        def all_run() -> bool:
            sessions = view.sessions()
            states = {each.session_id: sessions.get(each.session_id) for each in lineup}
            for key, session in states.items():
                if session is not None and session.state == SessionState.ERROR:
                    raise DemoFailed(f"live, the session {key} does not start: {session.reason}")
            return all(each is not None and each.state == SessionState.RUNNING for each in states.values())

        self._wait_until(all_run, worker, "did not start every session")

    def _rest(self, published: int, view: WorkerView) -> None:
        """Wait until everything is delivered and answered, or nothing moves any more."""
        before, moved_at = (-1, -1), time.monotonic()
        while time.monotonic() - moved_at < AT_REST_SECONDS:
            vitals = view.vitals()
            if vitals.taken >= published and vitals.pending == 0:
                return
            if before != (vitals.taken, vitals.pending):
                before, moved_at = (vitals.taken, vitals.pending), time.monotonic()
            self._pause.wait(POLL_SECONDS)

    def _wait_until(self, condition: Callable[[], bool], worker: Child, what: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not condition():
            worker.check()
            if time.monotonic() > deadline:
                raise worker.failure(f"{what} within {READY_SECONDS:.0f} s")
            self._pause.wait(POLL_SECONDS)


def _look_for_sessions(client: redis.Redis) -> None:
    """Raise ConfigError where somebody's sessions are: the worker would run those, too."""
    try:
        found = client.hlen(REGISTRY)
    except redis.RedisError as error:
        raise StorageUnavailable(f"Redis: {masked(str(error))}") from error
    if found:
        raise ConfigError(f"there are {found} sessions in that Redis; parity wants one that nobody trades on")


def _forget(client: redis.Redis, keys: Sequence[str]) -> None:
    """Leave nothing behind: no next run is to find these sessions, or what they remember."""
    for where in (REGISTRY, STATES, LEASES):
        client.hdel(where, *keys)


class Listening:
    """The worker as the replay sees it: behind by what it has not read, and by signals without an answer.

    A session refuses to have more than 1,000 of those, and history knows no such haste.
    """

    limit = AHEAD

    def __init__(self, worker: Child, view: WorkerView) -> None:
        self._worker = worker
        self._view = view

    def behind(self, published: int) -> int:
        """Return messages and signals that are on their way. Raises DemoFailed when the worker ended."""
        self._worker.check()
        vitals = self._view.vitals()
        return published - vitals.taken + vitals.pending
