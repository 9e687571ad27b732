"""The circuit between all sessions and the gateway, or the OMS: open while sending is pointless or harmful.

Two faults open it. A gateway that cannot be reached: one signal found out, so a thousand others need not
try. A gateway that refuses our credentials: every signal sent would be lost, so none is. While it is
open one harmless request at a time, the probe, asks again.
"""

import math
from collections.abc import Callable
from enum import StrEnum

import structlog

from models.errors import NotSent, Uncertain
from services.signals.verdict import Reply

# Seconds until the first probe; each further one waits twice as long, up to the second number.
UNREACHABLE_PROBES = (0.1, 0.5)
BLOCKED_PROBES = (2.0, 10.0)
# Answers of a proxy whose gateway is away: they prove neither that it is back nor that it accepts us.
NOT_FROM_THE_GATEWAY = {502, 503, 504}
REFUSES_CREDENTIALS = {401, 403}

log = structlog.get_logger(__name__)


class Fault(StrEnum):
    """Why the circuit is open."""

    UNREACHABLE = "unreachable"
    BLOCKED = "refuses_credentials"


class Circuit:
    """Open or closed, and when to probe. Times are monotonic seconds; `draw` gives numbers from 0 to 1.

    `whose` names in reasons who is at the other end.
    """

    def __init__(
        self,
        draw: Callable[[], float],
        blocked_probes: tuple[float, float] = BLOCKED_PROBES,
        whose: str = "gateway",
    ) -> None:
        self._whose = whose
        self._draw = draw
        self._blocked_probes = blocked_probes
        self._fault: Fault | None = None
        self._detail = ""
        self._probe_at = math.inf
        self._probes = 0
        self._blocks_in_a_row = 0

    @property
    def is_open(self) -> bool:
        """Whether nothing may be sent."""
        return self._fault is not None

    @property
    def reason(self) -> str | None:
        """Say why the circuit is open; None when it is closed."""
        fault, detail = self._fault, self._detail
        return f"{self._whose}_{fault}: {detail}" if fault else None

    @property
    def probe_at(self) -> float:
        """When the next probe is due; inf while there is none, or one is under way."""
        return self._probe_at

    def unreachable(self, detail: str, now: float) -> None:
        """A request could not be sent."""
        if self._fault is None:
            self._open(Fault.UNREACHABLE, detail, now)

    def blocked(self, detail: str, now: float) -> None:
        """A signal was refused for our credentials."""
        if self._fault is not Fault.BLOCKED:
            self._blocks_in_a_row += 1
            self._open(Fault.BLOCKED, detail, now)

    def answered(self) -> None:
        """A signal was answered, with yes or no: our credentials are good."""
        self._blocks_in_a_row = 0

    def begin_probe(self, now: float) -> bool:
        """Whether the caller is to probe now. It then owes a `probed`."""
        due = now >= self._probe_at
        if due:
            self._probe_at = math.inf
        return due

    def probed(self, answer: Reply | NotSent | Uncertain, now: float) -> None:
        """Take the answer to a probe; it closes the circuit when the gateway itself answered and knows us."""
        if isinstance(answer, Reply) and answer.status in REFUSES_CREDENTIALS:
            if self._fault is Fault.UNREACHABLE:
                self._open(Fault.BLOCKED, f"http_{answer.status}", now)
                return
        elif isinstance(answer, Reply) and answer.status not in NOT_FROM_THE_GATEWAY:
            log.info("circuit_closed", fault=self._fault)
            self._fault = None
            return
        self._probe_later(now)

    def _open(self, fault: Fault, detail: str, now: float) -> None:
        self._detail = detail
        self._fault = fault
        # Where a probe passes and the next signal is refused all the same, every probe costs a signal.
        self._probes = max(self._blocks_in_a_row - 1, 0) if fault is Fault.BLOCKED else 0
        log.error("circuit_opened", fault=fault, detail=detail)
        self._probe_later(now)

    def _probe_later(self, now: float) -> None:
        blocked = self._fault is Fault.BLOCKED
        first, longest = self._blocked_probes if blocked else UNREACHABLE_PROBES
        seconds = min(first * 2.0 ** min(self._probes, 16), longest)
        self._probes += 1
        self._probe_at = now + seconds * (0.5 + self._draw() / 2)
