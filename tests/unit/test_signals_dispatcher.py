"""What each answer does to its signal, to those behind it, and to all others."""

import math
from datetime import UTC, datetime

import pytest

from models.errors import NotSent, Refused, Uncertain
from models.signal import SignalStatus
from services.signals.circuit import Circuit
from services.signals.delivery import Delivery, Result, RetryPolicy
from services.signals.dispatcher import Dispatcher, Ending, Probe, Request
from services.signals.outbox import OutboxEntry
from services.signals.verdict import Blocked, Executed, InProgress, NeverSeen, Rejected, Reply, RetryAfter
from tests.sample_signals import make_signal

TTL = 30.0
FILLED = Executed(status="filled")


class Bench:
    """A dispatcher with a clock in hand, and waits that are always as long as they may be."""

    def __init__(self, *, idempotent: bool = False) -> None:
        self.now = 100.0
        policy = RetryPolicy(idempotent=idempotent, draw=lambda: 1.0, first_seconds=0.2, longest_seconds=5.0)
        self.dispatcher = Dispatcher(policy, Circuit(draw=lambda: 1.0))

    def put(self, *keys: str) -> None:
        for key in keys:
            self.dispatcher.accept(
                OutboxEntry(
                    signal=make_signal(key),
                    received_at=self.now,
                    expires_at=self.now + TTL,
                    created_at=datetime.now(UTC),
                )
            )

    def request(self) -> Delivery:
        task = self.dispatcher.next(self.now)
        assert isinstance(task, Request)
        task.delivery.attempts += not task.delivery.reads_back
        return task.delivery

    def ending(self) -> Ending:
        task = self.dispatcher.next(self.now)
        assert isinstance(task, Ending)
        self.dispatcher.finish(task.delivery)
        return task

    def nothing(self) -> bool:
        return self.dispatcher.next(self.now) is None

    def settle(self, delivery: Delivery, result: Result) -> Ending | None:
        ending = self.dispatcher.settle(delivery, result, self.now)
        if ending is not None:
            self.dispatcher.finish(delivery)
        return ending

    def end(self, delivery: Delivery, result: Result) -> Ending:
        ending = self.settle(delivery, result)
        assert ending is not None
        return ending

    def go_on(self, delivery: Delivery, result: Result) -> float:
        """Settle what is no end; return the seconds until the dispatcher wants to go on."""
        assert self.settle(delivery, result) is None
        return self.dispatcher.next_due() - self.now


def test_an_execution_is_reported_with_what_was_asked_for_where_it_is_silent() -> None:
    bench = Bench()
    bench.put("a")
    outcome = bench.end(bench.request(), Executed(status="filled", filled_price=99.0)).outcome
    assert outcome.status is SignalStatus.EXECUTED
    assert (outcome.report.status, outcome.report.filled_quantity, outcome.report.filled_price) == (
        "filled",
        10.0,
        99.0,
    )
    assert (outcome.attempts, outcome.at) == (1, bench.now)
    assert bench.dispatcher.is_idle


def test_a_refusal_is_final_and_its_session_goes_on() -> None:
    bench = Bench()
    bench.put("a", "a")
    outcome = bench.end(bench.request(), Rejected(reason="insufficient_funds")).outcome
    assert (outcome.report.status, outcome.report.reason) == ("rejected", "insufficient_funds")
    assert not outcome.stop_session
    assert bench.end(bench.request(), FILLED).outcome.report.executed


def test_a_signal_that_cannot_be_written_is_rejected() -> None:
    bench = Bench()
    bench.put("a")
    assert bench.end(bench.request(), Refused("signal_not_encodable")).outcome.status is SignalStatus.REJECTED


def test_what_waits_behind_a_stopped_session_is_refused_and_what_comes_later_is_sent() -> None:
    bench = Bench()
    bench.put("a", "a", "a", "b")
    first = bench.end(bench.request(), Rejected(reason="unknown_session", stop_session=True))
    assert first.outcome.stop_session
    assert bench.request().session_key == "b"
    reports = [bench.ending().outcome.report for _ in range(2)]
    assert [(report.status, report.reason) for report in reports] == [("refused", "session_stopped")] * 2
    bench.put("a")
    assert bench.request().session_key == "a"


def test_a_wait_is_as_long_as_it_was_told() -> None:
    bench = Bench()
    bench.put("a", "b")
    first = bench.request()
    assert bench.settle(first, RetryAfter(reason="http_429", seconds=7.0)) is None
    assert bench.request().session_key == "b"
    bench.now += 6.999
    assert bench.nothing()
    bench.now += 0.001
    assert bench.request() is first


@pytest.mark.parametrize("seconds", [None, 0.0])
def test_a_wait_of_no_stated_length_grows_with_each_failure(seconds: float | None) -> None:
    bench = Bench()
    bench.put("a")
    waits = []
    for _ in range(7):
        waits.append(bench.go_on(bench.request(), RetryAfter(reason="http_429", seconds=seconds)))
        bench.now += waits[-1]
    assert waits == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_a_wait_beyond_the_time_to_live_ends_with_it() -> None:
    bench = Bench()
    bench.put("a")
    assert bench.go_on(bench.request(), RetryAfter(reason="http_429", seconds=600.0)) == TTL
    bench.now += TTL
    report = bench.ending().outcome.report
    assert (report.status, report.reason) == ("expired", "http_429")
    assert not bench.dispatcher.halted


def test_a_signal_that_was_never_sent_expires() -> None:
    bench = Bench()
    bench.put("a")
    assert bench.settle(bench.request(), NotSent("connection_refused")) is None
    bench.now += TTL
    assert isinstance(bench.dispatcher.next(bench.now), Probe)
    outcome = bench.ending().outcome
    assert (outcome.status, outcome.report.reason) == (SignalStatus.EXPIRED, "connection_refused")
    assert not outcome.halt_session


def test_one_refused_connection_spares_all_others_theirs() -> None:
    bench = Bench()
    bench.put(*(f"session-{number}" for number in range(1000)))
    first = bench.request()
    assert bench.go_on(first, NotSent("connection_refused")) == -math.inf
    assert bench.nothing()
    assert bench.dispatcher.next_due() - bench.now == pytest.approx(0.1)
    bench.now += 0.1
    assert isinstance(bench.dispatcher.next(bench.now), Probe)
    assert bench.nothing()
    bench.dispatcher.probed(Reply(status=404), bench.now)
    keys = [bench.request().session_key for _ in range(1000)]
    assert keys[0] == first.session_key
    assert len(set(keys)) == 1000


def test_signals_behind_an_open_circuit_expire_in_their_time() -> None:
    bench = Bench()
    bench.put("a")
    bench.end(bench.request(), Blocked(reason="http_401"))
    bench.put("b")
    bench.now += 1.0
    bench.put("c")
    assert bench.nothing()
    bench.now += TTL - 1.0
    assert isinstance(bench.dispatcher.next(bench.now), Probe)
    ending = bench.ending()
    assert ending.delivery.session_key == "b"
    assert ending.outcome.report.reason == "gateway_refuses_credentials: http_401"
    assert bench.nothing()
    bench.now += 1.0
    assert bench.ending().delivery.session_key == "c"


def test_refused_credentials_reject_one_signal_and_hold_all_others() -> None:
    bench = Bench()
    bench.put("a", "a", "b")
    outcome = bench.end(bench.request(), Blocked(reason="token_expired")).outcome
    assert (outcome.report.status, outcome.report.reason) == ("rejected", "token_expired")
    assert bench.nothing()
    bench.now += 2.0
    assert isinstance(bench.dispatcher.next(bench.now), Probe)
    bench.dispatcher.probed(Reply(status=401), bench.now)
    assert bench.nothing()
    bench.now += 4.0
    assert isinstance(bench.dispatcher.next(bench.now), Probe)
    bench.dispatcher.probed(Reply(status=404), bench.now)
    assert {bench.request().session_key, bench.request().session_key} == {"a", "b"}


def test_an_idempotent_gateway_is_sent_an_uncertain_signal_again() -> None:
    bench = Bench(idempotent=True)
    bench.put("a", "a")
    delivery = bench.request()
    assert bench.go_on(delivery, Uncertain("read_timeout")) == pytest.approx(0.2)
    assert bench.nothing(), "the next signal of the session waits"
    bench.now += 0.2
    assert bench.request() is delivery
    assert not delivery.reads_back
    assert bench.end(delivery, FILLED).outcome.attempts == 2


def test_any_other_gateway_is_asked_first() -> None:
    bench = Bench()
    bench.put("a")
    delivery = bench.request()
    bench.go_on(delivery, Uncertain("http_502"))
    bench.now += 0.2
    assert bench.request() is delivery
    assert delivery.reads_back
    bench.go_on(delivery, Uncertain("read back: http_404"))
    bench.now += 0.4
    assert bench.request().reads_back
    assert bench.go_on(delivery, NeverSeen()) == 0.0, "and sent again at once when it never saw the signal"
    assert not bench.request().reads_back
    assert bench.end(delivery, FILLED).outcome.attempts == 2


def test_a_signal_that_stays_uncertain_halts_its_session_until_somebody_resumes_it() -> None:
    bench = Bench()
    bench.put("a", "a", "b")
    assert bench.settle(bench.request(), Uncertain("read_timeout")) is None
    bench.end(bench.request(), FILLED)
    bench.now += TTL
    outcome = bench.ending().outcome
    assert (outcome.status, outcome.report.reason) == (SignalStatus.UNKNOWN, "read_timeout")
    assert outcome.halt_session
    assert bench.dispatcher.halted == {"a"}
    assert bench.ending().outcome.report.reason == "session_halted"
    bench.put("a")
    assert bench.ending().outcome.report.reason == "session_halted"
    bench.dispatcher.resume("a")
    bench.put("a")
    assert bench.end(bench.request(), FILLED).outcome.report.executed


def test_what_is_withdrawn_before_it_was_sent_is_refused() -> None:
    bench = Bench()
    bench.put("a", "a", "b")
    under_way = bench.request()
    [behind] = list(bench.dispatcher._lanes.followers(under_way))  # noqa: SLF001 — its ids
    ids = {each.entry.signal.signal_id for each in (under_way, behind)}
    bench.dispatcher.withdraw(ids, "session_quarantined")
    assert bench.request().session_key == "b"
    assert bench.end(under_way, FILLED).outcome.report.executed
    report = bench.ending().outcome.report
    assert (report.status, report.reason) == ("refused", "session_quarantined")


def test_what_is_withdrawn_and_may_have_been_sent_is_asked_about() -> None:
    bench = Bench(idempotent=True)
    bench.put("a")
    delivery = bench.request()
    bench.go_on(delivery, Uncertain("read_timeout"))
    bench.dispatcher.withdraw({delivery.entry.signal.signal_id}, "session_quarantined")
    bench.now += 0.2
    assert bench.request().reads_back
    bench.settle(delivery, NeverSeen())
    assert bench.ending().outcome.report.reason == "session_quarantined"


def test_what_is_withdrawn_while_the_circuit_is_open_ends_at_once() -> None:
    bench = Bench()
    bench.put("a", "b")
    delivery = bench.request()
    bench.settle(delivery, NotSent("connection_refused"))
    assert bench.nothing()
    bench.dispatcher.withdraw({delivery.entry.signal.signal_id}, "session_quarantined")
    assert bench.ending().outcome.status is SignalStatus.REFUSED
    assert bench.nothing()


def test_a_signal_in_progress_is_asked_for_again_under_its_id() -> None:
    bench = Bench()
    bench.put("a")
    delivery = bench.request()
    assert bench.go_on(delivery, InProgress(seconds=2.0)) == 2.0
    bench.now += 2.0
    assert not bench.request().reads_back
    bench.go_on(delivery, InProgress(seconds=None))
    bench.now += TTL
    assert bench.ending().outcome.status is SignalStatus.UNKNOWN


def test_refused_credentials_say_nothing_about_an_earlier_attempt() -> None:
    bench = Bench(idempotent=True)
    bench.put("a")
    delivery = bench.request()
    bench.go_on(delivery, Uncertain("read_timeout"))
    bench.now += 0.2
    assert bench.settle(bench.request(), Blocked(reason="http_401")) is None
    bench.now += TTL
    assert isinstance(bench.dispatcher.next(bench.now), Probe)
    assert bench.ending().outcome.status is SignalStatus.UNKNOWN


def test_nor_does_a_page_of_something_in_front_of_the_gateway() -> None:
    bench = Bench(idempotent=True)
    bench.put("a")
    delivery = bench.request()
    bench.go_on(delivery, Uncertain("http_502"))
    bench.now += 0.2
    bench.go_on(bench.request(), Rejected(reason="http_404", settles=False))
    bench.now += 0.4
    assert bench.end(bench.request(), Rejected(reason="no")).outcome.report.reason == "no"


def test_a_signal_never_sent_that_meets_such_a_page_is_rejected() -> None:
    bench = Bench()
    bench.put("a")
    assert (
        bench.end(bench.request(), Rejected(reason="redirect_302", settles=False)).outcome.report.status
        == "rejected"
    )


def test_a_signal_that_is_never_sent_because_the_circuit_is_open_was_not_attempted() -> None:
    bench = Bench()
    bench.put("a")
    bench.settle(bench.request(), NotSent("connection_refused"))
    bench.put("b")
    assert bench.nothing()
    bench.now += TTL
    assert isinstance(bench.dispatcher.next(bench.now), Probe)
    assert [bench.ending().outcome.attempts for _ in range(2)] == [1, 0]
