"""A gateway that goes away, comes back, misbehaves as it is told to, and counts what it executed."""

import time
from collections import Counter
from collections.abc import Callable
from threading import Lock

from tests.gateway_stub import Answer, GatewayStub, Received

Fault = Callable[[Received], Answer | None]
"""What to answer in place of the truth; None: nothing is wrong with this request."""


class FaultyGateway:
    """Keeps its port and its memory over being away. Without idempotency a repeated id is executed again."""

    def __init__(self, *, idempotent: bool) -> None:
        self.idempotent = idempotent
        self.executions: Counter[str] = Counter()
        self.arrivals: dict[str, float] = {}
        self.early_retries = 0
        self.repeats = 0
        self.fault: Fault | None = None
        self._not_before: dict[str, float] = {}
        self._lock = Lock()
        self._executed: dict[str, bytes] = {}
        self._stub: GatewayStub | None = None
        self._port = 0
        self.come_back()
        self.url = f"http://127.0.0.1:{self._port}"

    def come_back(self) -> None:
        """Listen, on the same port as before; nothing when it does."""
        if self._stub is None:
            self._stub = GatewayStub(self._port, executed=self._executed)
            self._stub.answer = self._answer
            self._port = self._stub.port

    def go_away(self) -> None:
        """Cut all connections and refuse new ones."""
        if self._stub is not None:
            self._stub.close()
            self._stub = None

    def execute(self, received: Received) -> Answer:
        """Do what is asked, and tell."""
        stub = self._stub
        if stub is None:
            return Answer(502)
        if received.method == "POST":
            with self._lock:
                if not (self.idempotent and self.executions[received.signal_id]):
                    self.executions[received.signal_id] += 1
        return stub.friendly(received)

    def ask_to_wait(self, received: Received, status: int, seconds: int) -> Answer:
        """Refuse for so many seconds, and note who asks again before."""
        self._not_before[received.signal_id] = time.monotonic() + seconds
        return Answer(status, headers={"Retry-After": str(seconds)})

    def forget_requests(self) -> None:
        """Let go of the requests as they came, in a long run."""
        if self._stub is not None:
            self._stub.requests.clear()

    def _answer(self, received: Received) -> Answer:
        if received.method == "POST":
            with self._lock:
                self.repeats += received.signal_id in self.arrivals
                self.arrivals.setdefault(received.signal_id, received.at)
                self.early_retries += received.at < self._not_before.get(received.signal_id, 0.0)
        fault = self.fault
        answer = None if fault is None else fault(received)
        return self.execute(received) if answer is None else answer
