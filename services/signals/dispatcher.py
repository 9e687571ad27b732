"""Which signal goes next, and what its answer means for those behind it. No I/O, no threads, no clock."""

from collections.abc import Iterable

from msgspec import Struct

from models.errors import NotSent, Uncertain
from models.lease import Standing
from services.risk.kill_switch import Switch, SwitchOff
from services.signals.circuit import Circuit
from services.signals.delivery import Delivery, Result, RetryPolicy
from services.signals.fence import Fence, Unfenced
from services.signals.lanes import Lanes
from services.signals.outbox import SESSION_HALTED, OutboxEntry
from services.signals.outcome import Outcome
from services.signals.verdict import Blocked, Executed, Rejected, Reply

SESSION_STOPPED = "session_stopped"
# Seconds until it is asked again whether trading is halted, while nobody knows.
UNKNOWN_SECONDS = 0.25


class Request(Struct, frozen=True):
    """Send the signal, or read it back when `delivery.reads_back`; then `settle`."""

    delivery: Delivery


class Ending(Struct, frozen=True):
    """Report the outcome; then `finish`."""

    delivery: Delivery
    outcome: Outcome


class Probe(Struct, frozen=True):
    """Ask the gateway something harmless; then `probed`."""


Task = Request | Ending | Probe


class Dispatcher:
    """Lanes, circuit, leases, halted sessions and the kill switch, taken together.

    For one thread at a time. Times are monotonic seconds, passed in.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        circuit: Circuit,
        fence: Fence | None = None,
        switch: Switch | None = None,
    ) -> None:
        self._policy = policy
        self._circuit = circuit
        self._fence = fence or Unfenced()
        self._switch = switch or SwitchOff()
        self._lanes = Lanes()
        self._halted: set[str] = set()
        self._withdrawn: dict[str, str] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no signal is on its way."""
        return not self._lanes

    @property
    def halted(self) -> frozenset[str]:
        """The sessions whose signals are refused until `resume`."""
        return frozenset(self._halted)

    def accept(self, entry: OutboxEntry) -> None:
        """Queue a signal behind those of its session."""
        delivery = Delivery(entry)
        delivery.reads_back = delivery.uncertain and not self._policy.idempotent
        self._lanes.add(delivery)

    def next(self, now: float) -> Task | None:
        """Give the next thing to do, or None until `next_due`.

        A signal given out is the caller's until it is settled or finished.
        """
        if self._circuit.begin_probe(now):
            return Probe()
        while (delivery := self._lanes.take(now)) is not None:
            delivery.refusal = self._refusal(delivery)
            delivery.reason = delivery.reason or self._circuit.reason
            standing = self._standing(delivery)
            outcome = delivery.lost(now) if standing is Standing.LOST else delivery.ending(now)
            if outcome is not None:
                return self._conclude(delivery, outcome)
            delivery.prepare(now)
            if not self._switch.is_known and not delivery.reads_back:
                self._lanes.wait(delivery, min(now + UNKNOWN_SECONDS, delivery.gives_up_at))
                continue
            if standing is Standing.UNCONFIRMED and not delivery.reads_back:
                delivery.reason = Standing.UNCONFIRMED
            elif not self._circuit.is_open:
                return Request(delivery)
            self._lanes.park(delivery, delivery.gives_up_at)
        return None

    def next_due(self) -> float:
        """Return when `next` may have more: -inf when at once, inf when only after something else happens."""
        return min(self._lanes.next_due(), self._circuit.probe_at)

    def settle(self, delivery: Delivery, result: Result, now: float) -> Ending | None:
        """Take the result of a request; return the ending of the signal if that was it."""
        if isinstance(result, NotSent):
            self._circuit.unreachable(str(result), now)
        elif isinstance(result, Blocked):
            self._circuit.blocked(result.reason, now)
        elif isinstance(result, Executed | Rejected):
            self._circuit.answered()
        following = delivery.settle(result, now, self._policy)
        if isinstance(following, Outcome):
            return self._conclude(delivery, following)
        if following is None:
            self._lanes.park(delivery, delivery.gives_up_at)
        else:
            self._lanes.wait(delivery, min(following, delivery.gives_up_at))
        return None

    def probed(self, answer: Reply | NotSent | Uncertain, now: float) -> None:
        """Take the answer to a probe; when it closes the circuit, all that waited for that may go."""
        self._circuit.probed(answer, now)
        if not self._circuit.is_open:
            self._lanes.release()

    def confirmed(self) -> None:
        """Let all look again that wait for their lease to be certain."""
        self._lanes.release()

    def finish(self, delivery: Delivery) -> None:
        """Let the next signal of the session go, now that this one's end was reported."""
        self._withdrawn.pop(delivery.entry.signal.signal_id, None)
        self._lanes.finish(delivery)

    def resume(self, session_key: str) -> None:
        """Send the signals of a halted session again."""
        self._halted.discard(session_key)

    def withdraw(self, signal_ids: Iterable[str], reason: str) -> None:
        """Refuse signals that were accepted, or will be, with this reason; ask about one that may be sent."""
        self._withdrawn.update(dict.fromkeys(signal_ids, reason))
        self._lanes.release()

    def _refusal(self, delivery: Delivery) -> str | None:
        if delivery.session_key in self._halted:
            return SESSION_HALTED
        if self._switch.is_known and (reason := self._switch.reason) is not None:
            return f"halted: {reason}"
        return self._withdrawn.get(delivery.entry.signal.signal_id, delivery.refusal)

    def _standing(self, delivery: Delivery) -> Standing:
        """Say whether this worker may send the signal; one that is settled goes nowhere."""
        if delivery.entry.settled is not None:
            return Standing.HELD
        return self._fence.standing(delivery.session_key, delivery.entry.fence)

    def _conclude(self, delivery: Delivery, outcome: Outcome) -> Ending:
        if outcome.halt_session:
            self._halted.add(delivery.session_key)
        if outcome.stop_session:
            for follower in self._lanes.followers(delivery):
                follower.refusal = SESSION_STOPPED
        return Ending(delivery, outcome)
