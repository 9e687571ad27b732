"""What the courier does with signals whose session this worker holds no more, or does not know whether."""

from datetime import UTC, datetime

import pytest

from models.errors import Uncertain
from models.lease import Standing
from models.signal import SignalStatus
from services.leases.holdings import Holdings
from services.signals.circuit import Circuit
from services.signals.delivery import Delivery, RetryPolicy
from services.signals.dispatcher import Dispatcher, Ending, Request
from services.signals.outbox import MemoryOutbox, OutboxEntry
from services.signals.outcome import Outcome
from services.signals.verdict import Executed
from tests.sample_signals import make_signal

TTL, UNTIL = 30.0, 105.0
FENCE = 7
FILLED = Executed(status="filled")


class Bench:
    """A dispatcher and the leases of its worker, with one clock in hand: at 105 they are uncertain."""

    def __init__(self, *, idempotent: bool = False) -> None:
        self.now = 100.0
        self.holdings = Holdings(lambda: self.now)
        self.confirm(UNTIL)
        policy = RetryPolicy(idempotent=idempotent, draw=lambda: 1.0)
        self.dispatcher = Dispatcher(policy, Circuit(draw=lambda: 1.0), self.holdings)

    def confirm(self, until: float) -> None:
        self.holdings.hold("a", FENCE, FENCE, until)

    def put(self, fence: int = FENCE, key: str = "a") -> None:
        entry = OutboxEntry(
            signal=make_signal(key),
            received_at=self.now,
            expires_at=self.now + TTL,
            created_at=datetime.now(UTC),
            fence=fence,
        )
        self.dispatcher.accept(entry)

    def request(self) -> Delivery:
        task = self.dispatcher.next(self.now)
        assert isinstance(task, Request)
        return task.delivery

    def outcome(self) -> Outcome:
        task = self.dispatcher.next(self.now)
        assert isinstance(task, Ending)
        self.dispatcher.finish(task.delivery)
        return task.outcome

    def nothing(self) -> bool:
        return self.dispatcher.next(self.now) is None


def test_while_the_lease_is_certain_a_signal_goes_out() -> None:
    bench = Bench()
    bench.put()
    assert not bench.request().reads_back


def test_while_the_lease_is_uncertain_a_signal_waits_and_goes_on_when_it_is_confirmed() -> None:
    bench = Bench()
    bench.put()
    bench.now = UNTIL
    assert bench.nothing()
    bench.confirm(UNTIL + 5)
    assert bench.nothing()  # nobody has told it yet
    bench.dispatcher.confirmed()
    assert bench.request().entry.fence == FENCE


def test_a_signal_that_waits_for_its_lease_too_long_expires_with_that_reason() -> None:
    bench = Bench()
    bench.put()
    bench.now = UNTIL
    assert bench.nothing()
    bench.now = bench.dispatcher.next_due()
    outcome = bench.outcome()
    assert (outcome.status, outcome.report.reason) == (SignalStatus.EXPIRED, Standing.UNCONFIRMED)


def test_a_signal_of_a_lost_session_is_refused() -> None:
    bench = Bench()
    bench.put()
    bench.holdings.lose("a")
    outcome = bench.outcome()
    assert (outcome.status, outcome.report.reason) == (SignalStatus.REFUSED, Standing.LOST)
    assert not outcome.is_left


def test_what_was_decided_before_the_session_was_lost_and_won_again_is_refused() -> None:
    bench = Bench()
    bench.put()
    bench.holdings.lose("a")
    bench.holdings.hold("a", FENCE + 1, FENCE + 1, UNTIL)
    bench.put(FENCE + 1)
    assert bench.outcome().report.reason == Standing.LOST
    assert bench.request().entry.fence == FENCE + 1


def test_what_may_have_been_sent_is_left_to_the_new_owner_without_a_halt() -> None:
    bench = Bench(idempotent=True)
    bench.put()
    delivery = bench.request()
    assert bench.dispatcher.settle(delivery, Uncertain("read_timeout"), bench.now) is None
    bench.holdings.lose("a")
    bench.now = bench.dispatcher.next_due()
    outcome = bench.outcome()
    assert (outcome.status, outcome.is_left, outcome.halt_session) == (SignalStatus.UNKNOWN, True, False)


@pytest.mark.parametrize("idempotent", [True, False])
def test_while_the_lease_is_uncertain_the_gateway_is_asked_and_nothing_is_sent_again(
    idempotent: bool,  # noqa: FBT001 — a parameter
) -> None:
    bench = Bench(idempotent=idempotent)
    bench.put()
    delivery = bench.request()
    assert bench.dispatcher.settle(delivery, Uncertain("read_timeout"), bench.now) is None
    bench.now = max(UNTIL, bench.dispatcher.next_due())
    if idempotent:
        assert bench.nothing()
    else:
        assert bench.request().reads_back


def test_a_reply_that_comes_after_the_loss_counts() -> None:
    bench = Bench()
    bench.put()
    delivery = bench.request()
    bench.holdings.lose("a")
    ending = bench.dispatcher.settle(delivery, FILLED, bench.now)
    assert ending is not None
    assert ending.outcome.report.executed


def test_sessions_that_never_had_a_lease_are_sent_as_ever() -> None:
    bench = Bench()
    bench.put(fence=0, key="b")
    bench.now = UNTIL
    assert bench.request().session_key == "b"


def test_a_signal_carries_the_number_of_the_moment_of_its_decision() -> None:
    bench = Bench()
    outbox = MemoryOutbox(10, TTL, fence=bench.holdings)
    outbox.put(make_signal("a"), 0.0)
    bench.holdings.lose("a")
    outbox.put(make_signal("a"), 0.0)
    outbox.put(make_signal("b"), 0.0)
    first, late, other = outbox.take()
    assert (first.fence, other.fence) == (FENCE, 0)
    assert bench.holdings.standing("a", late.fence) is Standing.LOST
