"""An outbox and a courier before a gateway or an OMS, and what became of each signal, in the order told."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from models.execution import ExecutionReport
from models.signal import Signal
from services.signals.courier import Courier, CourierOptions
from services.signals.gateway_client import GatewayClient, GatewayOptions
from services.signals.outbox import MemoryOutbox, OutboxEntry
from services.signals.outcome import Outcome
from services.signals.route import GatewayRoute, Route
from tests.sample_signals import make_signal

PATIENCE = 20.0
# As in the worker, but ten to forty times as fast.
QUICK = {"first_retry": 0.02, "longest_retry": 0.1, "blocked_probes": (0.05, 0.2)}


class Sending:
    """Signals on their way by a route."""

    def __init__(  # noqa: PLR0913 — each with a default that most tests take
        self,
        route: Route,
        *,
        ttl: float = 15.0,
        idempotent: bool = False,
        threads: int = 4,
        most_threads: int = 4,
        capacity: int = 10_000,
        attempts: int | None = None,
    ) -> None:
        self.outbox = MemoryOutbox(capacity, ttl)
        options = CourierOptions(
            threads=threads,
            most_threads=most_threads,
            idempotent=idempotent,
            attempts=attempts,
            **QUICK,  # type: ignore[arg-type]  # by name
        )
        self.route = route
        self.courier = Courier(self.outbox, self.route, options, self._ended)
        self.told: list[tuple[Signal, Outcome]] = []
        self._outcomes: SimpleQueue[Outcome] = SimpleQueue()

    def put(self, *session_keys: str) -> list[Signal]:
        """Put one signal for each key named; return them."""
        signals = [make_signal(key) for key in session_keys]
        for signal in signals:
            assert self.outbox.put(signal, time.monotonic()) is None
        return signals

    def outcome(self) -> Outcome:
        """Wait for the next outcome."""
        return self._outcomes.get(timeout=PATIENCE)

    def send(self, session_key: str = "session-1") -> Outcome:
        """Put a signal and wait for an outcome."""
        self.put(session_key)
        return self.outcome()

    def report(self, session_key: str = "session-1") -> ExecutionReport:
        """Put a signal and wait for a report."""
        return self.send(session_key).report

    def drain(self) -> None:
        """Wait until every signal has ended."""
        assert self.courier.drain(time.monotonic() + PATIENCE)

    def _ended(self, entry: OutboxEntry, outcome: Outcome) -> None:
        self.told.append((entry.signal, outcome))
        self._outcomes.put(outcome)


@contextmanager
def sending(url: str, *, timeout: float = 5.0, **options: float) -> Iterator[Sending]:
    """Run a courier for a block, to the gateway at `url`."""
    with sending_by(GatewayRoute(GatewayClient(GatewayOptions(url, timeout=timeout))), **options) as desk:
        yield desk


@contextmanager
def sending_by(route: Route, **options: float) -> Iterator[Sending]:
    """Run a courier for a block, by a route."""
    desk = Sending(route, **options)  # type: ignore[arg-type]  # by name
    route.start()
    desk.courier.start()
    try:
        yield desk
    finally:
        desk.courier.stop(time.monotonic() + PATIENCE)
        desk.route.close()
