"""Everything around one worker: its servers, its gateway, a feed, sessions, and what they wrote."""

import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from services.embedded import EmbeddedValkey
from tests.acceptance.conftest import LiveWorker
from tests.faults.databases import add_session
from tests.faults.feed import Feed
from tests.faults.gateway import FaultyGateway
from tests.faults.journals import Hosted, Journals
from tests.support import eventually, free_port, running_process

PROBE = Hosted("probe", "PROBE", "listens")


class Stage:
    """One worker under test. Its process comes and goes; what surrounds it stays."""

    def __init__(self, valkey: EmbeddedValkey, database_url: str, journals: Journals) -> None:
        self.valkey = valkey
        self.database_url = database_url
        self.journals = journals
        self.gateway = FaultyGateway(idempotent=False)
        self.feed = Feed(valkey.url)
        self.sessions: dict[str, Hosted] = {}
        self.ended: set[str] = set()
        self.with_rows: set[str] = set()
        self.settings = {
            "REDIS_URL": valkey.url,
            "DATABASE_URL": database_url,
            "GATEWAY_URL": self.gateway.url,
            "STRATEGIES_PATH": str(journals.strategies),
            "LOG_LEVEL": "WARNING",
            "METRICS_PORT": "0",
        }
        self._process = ExitStack()
        self._worker: LiveWorker | None = None

    @property
    def worker(self) -> LiveWorker:
        """The process that runs now."""
        assert self._worker is not None, "no worker was started"
        return self._worker

    def start_worker(self, *, ready: bool = True) -> None:
        """Start a process with the settings of the stage."""
        port = free_port()
        environment = {**self.settings, "HEALTH_PORT": str(port)}
        process = self._process.enter_context(
            running_process([sys.executable, "main.py"], environment, ending_seconds=0)
        )
        self._worker = LiveWorker(process, port, self.valkey.url)
        self._process.callback(self._worker.redis.close)
        if ready:
            self._worker.wait_ready()

    def kill_worker(self) -> None:
        """End the process with SIGKILL."""
        self.worker.process.kill()
        self.worker.process.wait()
        self._process.close()

    def host(self, strategy: str, symbols: Sequence[str], names: Iterable[str]) -> list[Hosted]:
        """Start sessions, the symbols taking turns, every second one with a row; wait until all run."""
        added = []
        for number, name in enumerate(names):
            session = Hosted(name, symbols[number % len(symbols)], strategy)
            if number % 2 or name == PROBE.key:
                self.add_row(session)
            self.worker.control("subscribe", session.symbol, strategy, session.key)
            self.sessions[session.key] = session
            added.append(session)
        keys = {session.key for session in added}
        eventually(lambda: keys <= self.running(), 30, "the sessions run")
        return added

    def add_row(self, session: Hosted) -> None:
        """Have the platform say that a session should run."""
        add_session(self.database_url, session.key, session.symbol, session.strategy)
        self.sessions[session.key] = session
        self.with_rows.add(session.key)

    def running(self) -> set[str]:
        """The keys of the sessions that run, as the worker says."""
        return {key for key, session in self.worker.sessions().items() if session["state"] == "RUNNING"}

    def is_ready(self) -> bool:
        """Whether /ready says 200."""
        return self.worker.get("/ready").status_code == 200

    def close(self) -> None:
        """End the process and let go of everything else."""
        self.gateway.come_back()  # a worker that waits for it would take its whole time to stop
        self.gateway.fault = None
        self._process.close()
        self.gateway.go_away()
        self.feed.close()


@contextmanager
def open_stage(
    database_url: str, settings: Mapping[str, str] | None = None, *, idempotent: bool = False
) -> Iterator[Stage]:
    """Set the stage: a Valkey of its own, a gateway, and a worker with a probe."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, EmbeddedValkey() as valkey:
        stage = Stage(valkey, database_url, Journals(Path(folder)))
        stage.gateway.idempotent = idempotent
        stage.settings |= {"GATEWAY_IDEMPOTENT": str(idempotent).lower(), **(settings or {})}
        try:
            stage.start_worker()
            stage.host(PROBE.strategy, [PROBE.symbol], [PROBE.key])
            yield stage
        finally:
            stage.close()
