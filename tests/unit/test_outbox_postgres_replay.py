"""What becomes of a signal that is found again after a crash: nobody knows whether it was sent."""

from datetime import UTC, datetime

import pytest

from models.errors import NotSent, Uncertain
from models.signal import SignalStatus
from services.signals.circuit import Circuit
from services.signals.delivery import Delivery, RetryPolicy
from services.signals.dispatcher import Dispatcher, Ending, Request
from services.signals.outbox import OutboxEntry
from services.signals.outcome import failed
from services.signals.verdict import Executed, NeverSeen, Rejected
from tests.sample_signals import make_signal

YOUNG, OLD, ASKED_FOR = 10.0, -5.0, 30.0
FILLED = Executed(status="filled")


class Restart:
    """A dispatcher at the moment of a restart, with a clock in hand."""

    def __init__(self, *, idempotent: bool = False) -> None:
        self.now = 100.0
        policy = RetryPolicy(idempotent=idempotent, draw=lambda: 1.0)
        self.dispatcher = Dispatcher(policy, Circuit(draw=lambda: 1.0))

    def find(self, key: str, time_to_live: float, refusal: str | None = None) -> None:
        entry = OutboxEntry(
            signal=make_signal(key),
            received_at=self.now,
            expires_at=self.now + time_to_live,
            created_at=datetime.now(UTC),
            attempts=1,
            ask_until=self.now + ASKED_FOR,
            refusal=refusal,
        )
        self.dispatcher.accept(entry)

    def put(self, key: str) -> None:
        entry = OutboxEntry(
            signal=make_signal(key),
            received_at=self.now,
            expires_at=self.now + 30.0,
            created_at=datetime.now(UTC),
        )
        self.dispatcher.accept(entry)

    def request(self) -> Delivery:
        task = self.dispatcher.next(self.now)
        assert isinstance(task, Request)
        return task.delivery

    def ending(self) -> Ending:
        task = self.dispatcher.next(self.now)
        assert isinstance(task, Ending)
        self.dispatcher.finish(task.delivery)
        return task


def test_a_young_signal_is_sent_again_to_an_idempotent_gateway() -> None:
    restart = Restart(idempotent=True)
    restart.find("a", YOUNG)
    delivery = restart.request()
    assert not delivery.reads_back
    delivery.attempts += 1
    ending = restart.dispatcher.settle(delivery, FILLED, restart.now)
    assert ending is not None
    assert (ending.outcome.status, ending.outcome.attempts) == (SignalStatus.EXECUTED, 2)


def test_any_other_gateway_is_asked_first_and_the_signal_is_sent_if_it_was_never_seen() -> None:
    restart = Restart()
    restart.find("a", YOUNG)
    delivery = restart.request()
    assert delivery.reads_back
    assert restart.dispatcher.settle(delivery, NeverSeen(), restart.now) is None
    assert not restart.request().reads_back


@pytest.mark.parametrize("idempotent", [True, False])
def test_an_old_signal_is_only_asked_about(idempotent: bool) -> None:  # noqa: FBT001 — a parameter
    restart = Restart(idempotent=idempotent)
    restart.find("a", OLD)
    delivery = restart.request()
    assert delivery.reads_back
    ending = restart.dispatcher.settle(delivery, FILLED, restart.now)
    assert ending is not None
    assert ending.outcome.report.executed


@pytest.mark.parametrize("idempotent", [True, False])
def test_an_old_signal_that_the_gateway_never_saw_expires(idempotent: bool) -> None:  # noqa: FBT001 — as above
    restart = Restart(idempotent=idempotent)
    restart.find("a", OLD)
    assert restart.dispatcher.settle(restart.request(), NeverSeen(), restart.now) is None
    outcome = restart.ending().outcome
    assert (outcome.status, outcome.halt_session) == (SignalStatus.EXPIRED, False)


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("time_to_live", [YOUNG, OLD])
def test_a_signal_of_which_nothing_can_be_known_ends_unknown_and_halts_its_session(
    time_to_live: float,
    idempotent: bool,  # noqa: FBT001 — as above
) -> None:
    restart = Restart(idempotent=idempotent)
    restart.find("a", time_to_live)
    until = restart.now + ASKED_FOR
    while restart.now < until:
        delivery = restart.request()
        assert delivery.reads_back or (idempotent and restart.now < 100.0 + time_to_live)
        assert restart.dispatcher.settle(delivery, Uncertain("http_404"), restart.now) is None
        restart.now = max(restart.now, restart.dispatcher.next_due())
    outcome = restart.ending().outcome
    assert (outcome.status, outcome.halt_session) == (SignalStatus.UNKNOWN, True)


def test_a_gateway_that_is_away_at_the_restart_is_asked_when_it_is_back() -> None:
    restart = Restart()
    restart.find("a", OLD)
    assert restart.dispatcher.settle(restart.request(), NotSent("connection_refused"), restart.now) is None
    assert restart.dispatcher.next(restart.now) is None
    assert restart.dispatcher.next_due() < restart.now + ASKED_FOR


def test_what_stands_behind_an_unknown_signal_is_not_called_refused_where_it_may_have_been_sent() -> None:
    restart = Restart()
    restart.find("a", YOUNG)
    restart.find("a", YOUNG)
    restart.put("a")
    assert restart.dispatcher.settle(restart.request(), Uncertain("http_500"), restart.now) is None
    restart.now += ASKED_FOR - 1.0
    delivery = restart.request()
    assert restart.dispatcher.settle(delivery, Uncertain("http_500"), restart.now) is None
    restart.now += 1.0
    assert restart.ending().outcome.status is SignalStatus.UNKNOWN
    assert restart.ending().outcome.status is SignalStatus.UNKNOWN
    assert restart.ending().outcome.report.reason == "session_halted"


def test_what_stands_behind_a_stopped_session_is_asked_about_and_not_sent() -> None:
    restart = Restart(idempotent=True)
    restart.find("a", YOUNG)
    restart.find("a", YOUNG)
    first = restart.request()
    gone = Rejected(reason="unknown_session", stop_session=True)
    assert restart.dispatcher.settle(first, gone, restart.now) is not None
    restart.dispatcher.finish(first)
    delivery = restart.request()
    assert delivery.reads_back
    assert restart.dispatcher.settle(delivery, NeverSeen(), restart.now) is None
    assert restart.ending().outcome.report.reason == "session_stopped"


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_signal_of_a_session_that_was_halted_before_is_asked_about_and_not_sent(
    idempotent: bool,  # noqa: FBT001 — as above
) -> None:
    restart = Restart(idempotent=idempotent)
    restart.find("a", YOUNG, "session_halted")
    restart.find("b", YOUNG, "session_halted")
    never_seen, executed = restart.request(), restart.request()
    assert never_seen.reads_back
    assert executed.reads_back
    assert restart.dispatcher.settle(never_seen, NeverSeen(), restart.now) is None
    report = restart.ending().outcome.report
    assert (report.status, report.reason) == ("refused", "session_halted")
    ending = restart.dispatcher.settle(executed, FILLED, restart.now)
    assert ending is not None
    assert ending.outcome.report.executed


def test_a_signal_that_is_settled_is_reported_and_not_sent() -> None:
    restart = Restart()
    signal = make_signal("a")
    settled = failed(signal, "rejected", "insufficient_funds", 1, 0.0)
    restart.dispatcher.accept(
        OutboxEntry(
            signal=signal,
            received_at=restart.now,
            expires_at=restart.now + YOUNG,
            created_at=datetime.now(UTC),
            settled=settled,
        )
    )
    assert restart.ending().outcome is settled
