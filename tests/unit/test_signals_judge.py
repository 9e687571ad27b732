"""The table of outcomes, answer by answer."""

import json
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import Uncertain
from services.signals.judge import judge, judge_read_back
from services.signals.verdict import (
    Blocked,
    Executed,
    InProgress,
    NeverSeen,
    Rejected,
    Reply,
    RetryAfter,
    Verdict,
)

NOW = 1_800_000_000.0


def reply(status: int, document: Any = None, **more: Any) -> Reply:
    body = (
        document
        if isinstance(document, bytes)
        else b""
        if document is None
        else json.dumps(document).encode()
    )
    return Reply(status=status, body=body, **more)


@pytest.mark.parametrize("status", [200, 201])
def test_a_full_answer_is_executed_as_it_says(status: int) -> None:
    body = {"status": "filled", "orderId": "o-1", "filledQuantity": 7.5, "filledPrice": 99.0, "balance": -3}
    assert judge(reply(status, body), NOW) == Executed(
        status="filled", order_id="o-1", filled_quantity=7.5, filled_price=99.0, balance=-3.0
    )


def test_a_fee_is_taken_over_where_it_is_an_amount() -> None:
    for told, fee in (
        (1.25, 1.25),
        (2, 2.0),
        ("1.25", 0.0),
        (True, 0.0),
        (-1, 0.0),
        (1e300, 0.0),
        ({"usd": 1}, 0.0),
    ):
        assert judge(reply(201, {"fee": told}), NOW) == Executed(status="filled", fee=fee)


def test_what_an_answer_leaves_out_is_left_to_the_signal() -> None:
    assert judge(reply(201, {}), NOW) == Executed(status="filled")
    assert judge(reply(202, {}), NOW) == Executed(status="accepted")
    nulls = {"status": None, "orderId": None, "filledQuantity": None, "filledPrice": None, "balance": None}
    assert judge(reply(200, nulls), NOW) == Executed(status="filled")


def test_an_accepted_order_may_have_nothing_filled_yet() -> None:
    body = {"status": "ACCEPTED", "orderId": 17, "filledQuantity": 0, "filledPrice": 0}
    assert judge(reply(201, body), NOW) == Executed(status="accepted", order_id="17", filled_quantity=0.0)


def test_what_only_informs_may_be_of_any_type() -> None:
    body = {"status": "filled", "orderId": ["?"], "balance": "99000.00"}
    assert judge(reply(201, body), NOW) == Executed(status="filled")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"<html>200</html>",
        b"[]",
        b'"filled"',
        b"null",
        b'{"status": "filled"',
        b'{"filledPrice": NaN}',
        b'{"filledPrice": 1e999}',
        b'{"filledPrice": "100.5"}',
        b'{"filledPrice": true}',
        b'{"filledPrice": -1}',
        b'{"filledPrice": 1e300}',
        b'{"filledQuantity": 1e300}',
        b'{"filledPrice": 0}',
        b'{"filledQuantity": "10"}',
        b'{"filledQuantity": -10}',
        b'{"status": 1}',
        b'{"status": "pending"}',
        b'{"error": "insufficient_funds"}',
        b'{"success": false}',
        b'{"status": "filled", "error": "but not really"}',
        b'\xff{"status": "filled"}',
        b"[" * 5000,
    ],
)
def test_an_unreadable_success_settles_nothing(body: bytes) -> None:
    with pytest.raises(Uncertain):
        judge(reply(201, body), NOW)


def test_a_success_that_was_cut_short_settles_nothing() -> None:
    with pytest.raises(Uncertain, match="read_timeout"):
        judge(reply(201, {}, flaw="read_timeout"), NOW)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"error": "insufficient_funds", "message": "needs 1005, has 3"}, "insufficient_funds"),
        ({"error": {"code": "MARKET_CLOSED", "message": "opens at 9:30"}}, "MARKET_CLOSED"),
        ({"code": "E42", "error": "Bad Request"}, "E42"),
        ({"statusCode": 400, "message": "Insufficient funds", "error": "Bad Request"}, "Insufficient funds"),
        ({"detail": "price\n is   stale"}, "price is stale"),
        ({"reason": "x y " * 100}, ("x y " * 100).strip()[:200]),
        ({"message": ["a", "b"]}, "http_400"),
        ([], "http_400: []"),
        (b"no such symbol", "http_400: no such symbol"),
        (b"<html><body>Bad Request</body></html>", "http_400"),
        (b"", "http_400"),
    ],
)
def test_a_refusal_is_final_and_keeps_the_reason_given(document: object, reason: str) -> None:
    assert judge(reply(400, document), NOW) == Rejected(reason=reason)


@pytest.mark.parametrize("status", [400, 402, 404, 405, 409, 410, 413, 415, 418, 422, 451, 499])
def test_every_other_4xx_is_rejected_and_the_session_goes_on(status: int) -> None:
    verdict = judge(reply(status, {"error": "no"}), NOW)
    assert verdict == Rejected(reason="no", stop_session=False)


GONE = [
    {"error": "unknown_session"},
    {"error": "session_not_running", "message": "session 7 is STOPPED"},
    {"error": "SESSION_NOT_FOUND"},
    {"code": "sessionNotFound"},
    {"message": "Session 4c1f-22 was not found"},
    {"detail": "The session has been stopped."},
    {"error": {"code": "gone", "message": "session is no longer active"}},
    b"No such session",
]


@pytest.mark.parametrize("document", GONE)
@pytest.mark.parametrize("status", [404, 410])
def test_a_session_that_the_gateway_does_not_run_is_stopped(status: int, document: object) -> None:
    verdict = judge(reply(status, document), NOW)
    assert isinstance(verdict, Rejected)
    assert verdict.stop_session


@pytest.mark.parametrize(
    "document", [{"error": "not_found"}, b"<h1>404 Not Found</h1>", b"", {"error": "unknown_symbol"}]
)
def test_a_404_about_something_else_stops_no_session(document: object) -> None:
    verdict = judge(reply(404, document), NOW)
    assert isinstance(verdict, Rejected)
    assert not verdict.stop_session


def test_a_session_is_only_stopped_by_404_and_410() -> None:
    assert judge(reply(400, {"error": "unknown_session"}), NOW) == Rejected(reason="unknown_session")


@pytest.mark.parametrize(
    "document",
    [
        {"error": "in_progress"},
        {"error": "request_in_progress"},
        {"message": "Order is still processing"},
        {"error": "pending"},
    ],
)
def test_a_conflict_with_itself_is_still_in_progress(document: object) -> None:
    assert judge(reply(409, document), NOW) == InProgress(seconds=None)
    assert judge(reply(409, document, retry_after="2"), NOW) == InProgress(seconds=2.0)


@pytest.mark.parametrize(
    "document", [{"error": "duplicate_order"}, {"message": "error processing the order"}, b""]
)
def test_any_other_conflict_is_a_refusal(document: object) -> None:
    assert isinstance(judge(reply(409, document), NOW), Rejected)


def test_a_conflict_whose_words_did_not_arrive_settles_nothing() -> None:
    with pytest.raises(Uncertain):
        judge(reply(409, flaw="read_timeout"), NOW)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_block(status: int) -> None:
    assert judge(reply(status, {"error": "token_expired"}), NOW) == Blocked(reason="token_expired")
    assert judge_read_back(reply(status), NOW) == Blocked(reason=f"http_{status}")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("999999999999", 3600.0),
        (formatdate(NOW + 12, usegmt=True), 12.0),
        (formatdate(NOW - 12, usegmt=True), 0.0),
        (formatdate(NOW + 10**6, usegmt=True), 3600.0),
        ("Thu, 01 Jan 1970 00:00:00 -0000", 0.0),
        ("soon", None),
        ("-1", None),
        ("1, 2", None),
        ("", None),
        ("٣", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str, seconds: float | None) -> None:
    for status in (429, 503):
        verdict = judge(reply(status, retry_after=header), NOW)
        assert verdict == RetryAfter(reason=f"http_{status}", seconds=seconds)


def test_too_many_requests_without_a_time_waits_all_the_same() -> None:
    assert judge(reply(429), NOW) == RetryAfter(reason="http_429", seconds=None)


@pytest.mark.parametrize("status", [100, 103, 500, 501, 502, 503, 504, 599, 600, 999])
def test_a_broken_gateway_settles_nothing(status: int) -> None:
    with pytest.raises(Uncertain, match=f"http_{status}"):
        judge(reply(status, b"Bad Gateway"), NOW)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_refused_with_a_word_to_the_operator(status: int) -> None:
    verdict = judge(reply(status), NOW)
    assert isinstance(verdict, Rejected)
    assert "GATEWAY_URL" in verdict.reason
    assert not verdict.settles


def test_only_the_gateway_itself_settles_an_earlier_attempt() -> None:
    def settles(answer: Reply) -> bool:
        verdict = judge(answer, NOW)
        assert isinstance(verdict, Rejected)
        return verdict.settles

    assert settles(reply(400))
    assert settles(reply(404, {"error": "unknown_symbol"}))
    assert not settles(reply(404, b"<h1>nginx</h1>"))
    assert not settles(reply(405))


def test_a_read_back_tells_the_result() -> None:
    body = {"signalId": "s", "statusCode": 201, "status": "filled", "filledPrice": 99.0}
    assert judge_read_back(reply(200, body), NOW) == Executed(status="filled", filled_price=99.0)


def test_a_read_back_tells_an_earlier_refusal() -> None:
    body = {"statusCode": 400, "status": "rejected", "error": "insufficient_funds"}
    assert judge_read_back(reply(200, body), NOW) == Rejected(reason="insufficient_funds")
    assert judge_read_back(reply(200, {"error": "insufficient_funds"}), NOW) == Rejected(
        reason="insufficient_funds"
    )
    verdict = judge_read_back(reply(200, {"status": "rejected", "error": "unknown_session"}), NOW)
    assert verdict == Rejected(reason="unknown_session", stop_session=True)


def test_a_signal_that_the_gateway_never_saw_can_be_sent_again() -> None:
    body = {"error": "unknown_signal", "message": "never heard of it"}
    assert judge_read_back(reply(404, body), NOW) == NeverSeen()


@pytest.mark.parametrize(
    "answer",
    [
        reply(404),
        reply(404, {"error": "not_found"}),
        reply(404, b"unknown_signal"),
        reply(400, {"error": "unknown_signal"}),
        reply(201, {"status": "filled"}),
        reply(204),
        reply(302),
        reply(405),
        reply(500),
        reply(503),
        reply(200, {"status": "pending"}),
        reply(200, b"filled"),
        reply(200, {}, flaw="read_timeout"),
    ],
)
def test_any_other_read_back_leaves_the_signal_unknown(answer: Reply) -> None:
    with pytest.raises(Uncertain):
        judge_read_back(answer, NOW)


def test_a_read_back_waits_as_it_is_told() -> None:
    assert judge_read_back(reply(503, retry_after="3"), NOW) == RetryAfter(reason="http_503", seconds=3.0)


REPLIES = st.builds(
    Reply,
    status=st.integers(100, 999),
    body=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["status", "error", "code", "message", "filledPrice"]), inner)
        ),
        max_leaves=5,
    ).map(lambda document: json.dumps(document).encode()),
    retry_after=st.none() | st.text(max_size=40),
    flaw=st.none() | st.just("read_timeout"),
)


@given(REPLIES)
def test_every_answer_means_something_and_none_but_a_2xx_executes(answer: Reply) -> None:
    for judged_by in (judge, judge_read_back):
        try:
            verdict: Verdict = judged_by(answer, NOW)
        except Uncertain:
            continue
        if isinstance(verdict, Executed):
            assert 200 <= answer.status < 300
            assert answer.flaw is None
        if isinstance(verdict, Rejected | Blocked | RetryAfter):
            assert verdict.reason
            assert len(verdict.reason) <= 220
