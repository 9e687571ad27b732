"""Where signals are executed: the one port behind which the Gateway and the OMS look the same."""

import time
from collections.abc import Callable
from typing import Protocol

from models.signal import Signal
from services.signals.gateway_client import GatewayClient
from services.signals.judge import judge, judge_read_back
from services.signals.verdict import Reply, Verdict


class Route(Protocol):
    """What the courier needs of whoever executes signals; used by all its threads at once.

    Each request raises NotSent or Uncertain when there is no answer that settles anything.
    """

    def start(self) -> None:
        """Begin to keep a connection, where one is kept. Once."""

    def execute(self, signal: Signal) -> Verdict:
        """Have a signal executed. Raises Refused when it cannot be put into words."""

    def read_back(self, signal_id: str) -> Verdict:
        """Ask what became of a signal."""

    def probe(self) -> Reply:
        """Ask something harmless. The status of the answer, in the words of HTTP, is all that counts."""

    def close(self) -> None:
        """Give the connections back; nobody asks any more."""


class GatewayRoute:
    """The gateway over HTTP, its answers judged."""

    def __init__(self, client: GatewayClient, wall_clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._wall_clock = wall_clock

    def start(self) -> None:
        """Connect later: each thread does with its first request."""

    def execute(self, signal: Signal) -> Verdict:
        """POST a signal. Raises NotSent, Uncertain, or Refused when it cannot be written as JSON."""
        return judge(self._client.execute(signal), self._wall_clock())

    def read_back(self, signal_id: str) -> Verdict:
        """GET what became of a signal. Raises NotSent or Uncertain."""
        return judge_read_back(self._client.read_back(signal_id), self._wall_clock())

    def probe(self) -> Reply:
        """Read back a signal that never was. Raises NotSent or Uncertain."""
        return self._client.probe()

    def close(self) -> None:
        """Close the kept connections of all threads."""
        self._client.close()
