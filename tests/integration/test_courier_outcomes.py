"""The table of outcomes over the wire: what is sent, how often, how soon, and what is told in the end."""

import time
from collections.abc import Iterator

import pytest

from models.signal import SignalStatus
from tests.gateway_stub import HANG, SILENT_DROP, SILENT_RESET, Answer, GatewayStub, Received
from tests.sending import sending
from tests.support import free_port

UNKNOWN_SIGNAL = {"error": "unknown_signal"}


@pytest.fixture
def stub() -> Iterator[GatewayStub]:
    with GatewayStub() as gateway:
        yield gateway


def unknowing(received: Received) -> Answer:
    """Break on every signal, and have no route to ask about them."""
    return Answer(404 if received.method == "GET" else 500, b"<h1>oops</h1>")


@pytest.mark.parametrize("status", [200, 201])
def test_an_executed_signal_is_sent_once_and_reported(stub: GatewayStub, status: int) -> None:
    body = {
        "status": "accepted",
        "orderId": "o-7",
        "filledQuantity": 4,
        "filledPrice": 101.25,
        "balance": 7.5,
    }
    stub.script(Answer.of(status, body))
    with sending(stub.url) as desk:
        outcome = desk.send()
        report = outcome.report
        assert outcome.status is SignalStatus.EXECUTED
        assert (report.status, report.order_id, report.filled_quantity) == ("accepted", "o-7", 4.0)
        assert (report.filled_price, report.balance, report.reason) == (101.25, 7.5, None)
        assert desk.outbox.counts()[SignalStatus.EXECUTED] == 1
    assert len(stub.requests) == 1


def test_fields_that_are_missing_mean_what_was_asked_for(stub: GatewayStub) -> None:
    stub.script(Answer(201, b"{}"))
    with sending(stub.url) as desk:
        report = desk.report()
    assert (report.status, report.filled_quantity, report.filled_price) == ("filled", 10.0, 100.5)


@pytest.mark.parametrize("status", [400, 402, 404, 405, 409, 410, 413, 422, 451])
def test_a_refused_signal_is_final_with_its_reason(stub: GatewayStub, status: int) -> None:
    stub.script(Answer.of(status, {"error": "insufficient_funds"}))
    with sending(stub.url) as desk:
        outcome = desk.send()
        assert (outcome.status, outcome.report.reason) == (SignalStatus.REJECTED, "insufficient_funds")
        assert not outcome.stop_session
        assert desk.report().status == "filled"
    assert len(stub.posts) == 2


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("error", ["unknown_session", "session_not_running"])
def test_an_unknown_session_is_stopped(stub: GatewayStub, status: int, error: str) -> None:
    def stopped(received: Received) -> Answer:
        if received.json["sessionId"] == "a":
            return Answer.of(status, {"error": error}, delay=0.2)
        return stub.friendly(received)

    stub.answer = stopped
    with sending(stub.url) as desk:
        desk.put("a", "a", "a", "b")
        desk.drain()
        told = [
            (outcome.report.status, outcome.report.reason, outcome.stop_session)
            for signal, outcome in desk.told
            if signal.session_key == "a"
        ]
    assert told == [
        ("rejected", error, True),
        ("refused", "session_stopped", False),
        ("refused", "session_stopped", False),
    ]
    assert len(stub.posts) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_not_followed(stub: GatewayStub, status: int) -> None:
    with GatewayStub() as elsewhere:
        stub.script(Answer(status, headers={"Location": elsewhere.url}))
        with sending(stub.url) as desk:
            report = desk.report()
        assert (report.status, elsewhere.connections) == ("rejected", 0)
        assert "GATEWAY_URL" in str(report.reason)
    assert len(stub.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_that_was_told_is_kept(stub: GatewayStub, status: int) -> None:
    stub.script(Answer(status, headers={"Retry-After": "1"}))
    with sending(stub.url) as desk:
        [first, _] = desk.put("a", "a")
        desk.drain()
        assert [outcome.status for _, outcome in desk.told] == [SignalStatus.EXECUTED] * 2
        assert desk.told[0][1].attempts == 2
    assert [received.signal_id for received in stub.posts[:2]] == [first.signal_id] * 2
    assert 1.0 <= stub.posts[1].at - stub.posts[0].at < 3.0
    assert len(stub.posts) == 3


def test_a_wait_longer_than_the_time_to_live_ends_expired(stub: GatewayStub) -> None:
    stub.answer = lambda _: Answer(429, headers={"Retry-After": "60"})
    with sending(stub.url, ttl=0.5) as desk:
        began = time.monotonic()
        outcome = desk.send()
        assert 0.5 <= time.monotonic() - began < 20.0
    assert (outcome.status, outcome.report.reason) == (SignalStatus.EXPIRED, "http_429")
    assert not outcome.halt_session
    assert len(stub.posts) == 1


def test_503_without_a_time_is_unknown_like_any_other_5xx(stub: GatewayStub) -> None:
    stub.script(Answer(503), Answer.of(404, UNKNOWN_SIGNAL))
    with sending(stub.url) as desk:
        assert desk.report().status == "filled"
    assert [received.method for received in stub.requests] == ["POST", "GET", "POST"]


def test_a_signal_still_in_progress_is_asked_for_until_it_is_done(stub: GatewayStub) -> None:
    stub.script(*[Answer.of(409, {"error": "request_in_progress"})] * 2, Answer.of(201, {"orderId": "late"}))
    with sending(stub.url) as desk:
        [signal] = desk.put("a")
        assert desk.outcome().report.order_id == "late"
    assert [received.signal_id for received in stub.posts] == [signal.signal_id] * 3
    assert not stub.gets


@pytest.mark.parametrize(
    "failure",
    [
        SILENT_DROP,
        SILENT_RESET,
        HANG,
        Answer(500),
        Answer(502),
        Answer(504),
        Answer(201, b"OK"),
        Answer(200, b'{"filledPrice":"1"}'),
    ],
)
class TestWhenNobodyKnows:
    def test_an_idempotent_gateway_is_sent_it_again(self, stub: GatewayStub, failure: Answer) -> None:
        stub.script(failure)
        with sending(stub.url, idempotent=True, timeout=0.3) as desk:
            [signal] = desk.put("a")
            outcome = desk.outcome()
        assert (outcome.report.status, outcome.attempts) == ("filled", 2)
        assert [received.signal_id for received in stub.posts] == [signal.signal_id] * 2
        assert stub.posts[0].body == stub.posts[1].body
        assert not stub.gets

    def test_another_gateway_tells_what_it_executed(self, stub: GatewayStub, failure: Answer) -> None:
        def execute_and_fail(received: Received) -> Answer:
            if received.method == "POST":
                stub.execute(received)
                return failure
            return stub.friendly(received)

        stub.answer = execute_and_fail
        with sending(stub.url, timeout=0.3) as desk:
            outcome = desk.send()
        assert (outcome.report.status, outcome.report.order_id, outcome.attempts) == ("filled", "order-1", 1)
        assert len(stub.posts) == 1

    def test_another_gateway_that_never_saw_it_is_sent_it_again(
        self, stub: GatewayStub, failure: Answer
    ) -> None:
        stub.script(failure)
        with sending(stub.url, timeout=0.3) as desk:
            outcome = desk.send()
        assert (outcome.report.status, outcome.attempts) == ("filled", 2)
        assert [received.method for received in stub.requests] == ["POST", "GET", "POST"]


def test_a_read_back_of_a_refusal_is_the_refusal(stub: GatewayStub) -> None:
    stub.script(SILENT_DROP, Answer.of(200, {"status": "rejected", "error": "insufficient_funds"}))
    with sending(stub.url) as desk:
        report = desk.report()
    assert (report.status, report.reason) == ("rejected", "insufficient_funds")
    assert len(stub.posts) == 1


def test_a_gateway_that_cannot_tell_leaves_the_signal_unknown_and_the_session_halted(
    stub: GatewayStub,
) -> None:
    stub.answer = unknowing
    with sending(stub.url, ttl=0.7) as desk:
        desk.put("a", "a")
        first, second = desk.outcome(), desk.outcome()
        assert (first.status, first.report.reason) == (SignalStatus.UNKNOWN, "read back: http_404")
        assert first.halt_session
        assert (second.status, second.report.reason) == (SignalStatus.REFUSED, "session_halted")
        assert desk.courier.halted == {"a"}
        assert len(stub.posts) == 1, "never sent a second time"
        assert len(stub.gets) > 3, "asked again and again"

        stub.answer = stub.friendly
        assert desk.report("a").reason == "session_halted"
        assert desk.report("b").status == "filled"
        desk.courier.resume("a")
        assert desk.report("a").status == "filled"


def test_an_idempotent_gateway_that_stays_broken_leaves_it_unknown_too(stub: GatewayStub) -> None:
    stub.answer = unknowing
    with sending(stub.url, ttl=0.7, idempotent=True) as desk:
        outcome = desk.send()
    assert outcome.status is SignalStatus.UNKNOWN
    assert {received.signal_id for received in stub.posts} == {outcome.report.signal_id}
    assert len(stub.posts) == outcome.attempts > 3


def test_a_signal_that_reaches_nobody_expires() -> None:
    with sending(f"http://127.0.0.1:{free_port()}", ttl=0.5) as desk:
        began = time.monotonic()
        desk.put("a", "a", "b")
        for _ in range(3):
            outcome = desk.outcome()
            assert outcome.status is SignalStatus.EXPIRED
            assert "connection_refused" in str(outcome.report.reason)
            assert not outcome.halt_session
        assert 0.5 <= time.monotonic() - began < 20.0
        assert desk.outbox.counts()[SignalStatus.EXPIRED] == 3


def test_a_hanging_gateway_holds_a_signal_no_longer_than_its_deadline(stub: GatewayStub) -> None:
    stub.script(Answer(drip=0.05))
    with sending(stub.url, timeout=0.3, idempotent=True) as desk:
        desk.send()
    first, second = stub.posts
    assert second.at - first.at < 2.3
