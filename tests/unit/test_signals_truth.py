"""Whatever goes wrong on the way, what is reported is what happened: played against a simulated gateway."""

import math
import random
from collections import defaultdict
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import NotSent, Uncertain
from models.signal import Signal, SignalStatus
from services.signals.circuit import Circuit
from services.signals.delivery import Delivery, Result, RetryPolicy
from services.signals.dispatcher import Dispatcher, Ending, Probe, Request
from services.signals.outbox import OutboxEntry
from services.signals.verdict import Blocked, Executed, InProgress, NeverSeen, Rejected, Reply, RetryAfter
from tests.sample_signals import make_signal

SESSIONS = 5
SIGNALS = 40
TTL = 10.0
IN_FLIGHT = 4
STEPS = 20_000
ON_ITS_WAY_THERE: dict[int, Result] = {
    0: NotSent("connection_refused"),
    1: Uncertain("read_timeout"),
    2: Blocked(reason="http_401"),
}


class SimulatedGateway:
    """Executes for real, in a list; what it says about that gets lost, delayed or refused at random."""

    def __init__(self, chance: random.Random, *, idempotent: bool) -> None:
        self._chance = chance
        self._idempotent = idempotent
        self.executed: list[Signal] = []
        self.refused: set[str] = set()
        self.not_before: dict[str, float] = {}

    def execute(self, signal: Signal, now: float) -> Result:
        assert now >= self.not_before.get(signal.signal_id, 0.0), "a wait that was told is kept"
        known = self._known(signal.signal_id)
        fate = self._chance.randrange(12)
        if fate in ON_ITS_WAY_THERE:
            return ON_ITS_WAY_THERE[fate]
        if fate == 3:
            seconds = self._chance.choice([0.5, 2.0, 60.0])
            self.not_before[signal.signal_id] = now + seconds
            return RetryAfter(reason="http_429", seconds=seconds)
        if not (self._idempotent and known):
            assert not known, "a signal that may have been executed is not sent again"
            if fate == 4:
                self.refused.add(signal.signal_id)
            else:
                self.executed.append(signal)
        if fate == 5:
            return Uncertain("connection_reset")  # lost on its way back
        if fate == 6 and self._idempotent:
            return InProgress(seconds=None)
        return self._tell(signal.signal_id)

    def read_back(self, signal_id: str) -> Result:
        assert not self._idempotent
        fate = self._chance.randrange(4)
        if fate == 0:
            return Uncertain("http_500")
        if fate == 1:
            return Blocked(reason="http_401")
        return self._tell(signal_id) if self._known(signal_id) else NeverSeen()

    def _known(self, signal_id: str) -> bool:
        return signal_id in self.refused or any(signal.signal_id == signal_id for signal in self.executed)

    def _tell(self, signal_id: str) -> Result:
        return Rejected(reason="no") if signal_id in self.refused else Executed(status="filled")


class Play:
    """Up to four requests under way at once, ending in random order."""

    def __init__(self, seed: int, *, idempotent: bool) -> None:
        self.chance = random.Random(seed)  # noqa: S311 — not for secrets
        self.gateway = SimulatedGateway(self.chance, idempotent=idempotent)
        policy = RetryPolicy(idempotent=idempotent, draw=self.chance.random)
        self.dispatcher = Dispatcher(policy, Circuit(draw=self.chance.random))
        self.now = 0.0
        self.signals: dict[str, list[Signal]] = defaultdict(list)
        self.endings: list[Ending] = []
        self.under_way: list[tuple[Delivery, Result]] = []

    def run(self) -> None:
        for _ in range(SIGNALS):
            self._put()
            while self.chance.random() < 0.7:
                self._step()
        for _ in range(STEPS):
            if self.dispatcher.is_idle:
                return
            self._step()
        raise AssertionError("signals are lost, or go round for ever")

    def _put(self) -> None:
        signal = make_signal(f"session-{self.chance.randrange(SESSIONS)}")
        self.signals[signal.session_key].append(signal)
        entry = OutboxEntry(
            signal=signal, received_at=self.now, expires_at=self.now + TTL, created_at=datetime.now(UTC)
        )
        self.dispatcher.accept(entry)

    def _step(self) -> None:
        if self.under_way and (len(self.under_way) == IN_FLIGHT or self.chance.random() < 0.5):
            delivery, result = self.under_way.pop(self.chance.randrange(len(self.under_way)))
            self._report(self.dispatcher.settle(delivery, result, self.now))
            return
        match self.dispatcher.next(self.now):
            case Request(delivery):
                self._request(delivery)
            case Ending() as ending:
                self._report(ending)
            case Probe():
                passes = self.chance.random() < 0.5
                self.dispatcher.probed(Reply(status=404 if passes else 502), self.now)
            case None:
                due = self.dispatcher.next_due()
                self.now = max(self.now, due) if due < math.inf else self.now
        self.now += self.chance.random() * 0.2

    def _request(self, delivery: Delivery) -> None:
        signal = delivery.entry.signal
        assert all(other.session_key != delivery.session_key for other, _ in self.under_way)
        assert self.now < delivery.entry.expires_at
        if delivery.reads_back:
            result = self.gateway.read_back(signal.signal_id)
        else:
            result = self.gateway.execute(signal, self.now)
        self.under_way.append((delivery, result))

    def _report(self, ending: Ending | None) -> None:
        if ending is None:
            return
        signal = ending.delivery.entry.signal
        self.endings.append(ending)
        if ending.outcome.halt_session and self.chance.random() < 0.5:
            self.dispatcher.resume(signal.session_key)
        self.dispatcher.finish(ending.delivery)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), idempotent=st.booleans())
def test_what_is_reported_is_what_happened(seed: int, idempotent: bool) -> None:  # noqa: FBT001 — drawn
    play = Play(seed, idempotent=idempotent)
    play.run()
    executed = [signal.signal_id for signal in play.gateway.executed]
    assert len(executed) == len(set(executed)), "no decision becomes two orders"
    for session_key, signals in play.signals.items():
        told = [end.delivery.entry.signal for end in play.endings if end.delivery.session_key == session_key]
        assert told == signals, "every signal ends once, in the order of its session"
        order = [signal for signal in play.gateway.executed if signal.session_key == session_key]
        assert order == [signal for signal in signals if signal in order], "and is executed in that order"
    for ending in play.endings:
        if ending.outcome.status is not SignalStatus.UNKNOWN:
            happened = ending.delivery.entry.signal.signal_id in executed
            assert ending.outcome.report.executed == happened
