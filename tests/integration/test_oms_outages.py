"""An OMS that goes, comes, cuts, stalls and answers late: no order twice, none lost, and no guess."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from models.errors import NotSent, Uncertain
from models.signal import SignalStatus
from services.oms.options import Faults, Rules
from services.oms.protocol import OrderRequest, OrderResponse, OrderStatus
from services.signals.oms_client import OmsClient
from services.signals.route import Route
from tests.oms_stub import OmsStub, make_client, serving_oms
from tests.sample_signals import make_signal
from tests.sending import Sending, sending_by
from tests.support import eventually, free_port


@pytest.fixture
def stub() -> Iterator[OmsStub]:
    with OmsStub() as oms:
        yield oms


def silent(_: OrderRequest) -> list[OrderResponse]:
    return []


def is_connected(route: Route) -> bool:
    try:
        return route.probe().status == 200
    except NotSent:
        return False


def connected_client(address: str, **options: Any) -> OmsClient:
    client = make_client(address, **options)
    client.start()
    eventually(lambda: is_connected(client))
    return client


@contextmanager
def sending_connected(address: str, **options: Any) -> Iterator[Sending]:
    """Send with a short time to live, of which connecting takes nothing."""
    with sending_by(make_client(address, **options), ttl=0.5) as desk:
        eventually(lambda: is_connected(desk.route))
        yield desk


def assert_parked(desk: Sending, key: str, reason: str) -> None:
    """The next outcome is that nobody knows, and the session is halted."""
    outcome = desk.outcome()
    assert outcome.status is SignalStatus.UNKNOWN
    assert reason in str(outcome.report.reason)
    assert key in desk.courier.halted


def test_an_order_waits_for_an_oms_that_is_away_and_is_sent_once() -> None:
    port = free_port()
    with sending_by(make_client(f"127.0.0.1:{port}"), attempts=3) as desk:
        desk.put("a", "a", "b")
        eventually(lambda: desk.courier.circuit_reason)
        with OmsStub(port) as stub:
            desk.drain()
            assert [outcome.report.status for _, outcome in desk.told] == ["filled"] * 3
            assert len({order.id for order in stub.orders}) == len(stub.orders) == 3


def test_an_order_that_never_left_expires() -> None:
    with sending_by(make_client(f"127.0.0.1:{free_port()}"), ttl=0.4) as desk:
        report = desk.report()
        assert report.status == "expired"
        assert "onnect" in str(report.reason)


@pytest.mark.parametrize("idempotent", [False, True])
def test_an_order_put_into_a_dead_stream_was_never_sent(stub: OmsStub, *, idempotent: bool) -> None:
    client = connected_client(stub.address, idempotent=idempotent)
    client.execute(make_signal())
    stub.close()
    eventually(lambda: client.fault)
    with pytest.raises(NotSent):
        client.execute(make_signal())
    client.close()


def test_an_oms_that_is_killed_with_an_order_in_hand_never_gets_it_again(stub: OmsStub) -> None:
    stub.answers = silent
    with sending_connected(stub.address, order_timeout=0.8) as desk:
        [doubtful, _] = desk.put("a", "a")
        eventually(lambda: stub.orders)
        stub.close()
        with OmsStub(int(stub.address.rpartition(":")[2])) as restarted:
            assert_parked(desk, "a", "no final answer within 0.8 s: nothing was said, 0 of 10 filled")
            assert desk.outcome().report.reason == "session_halted"
            eventually(lambda: is_connected(desk.route))
            assert [order.id for order in stub.orders] == [doubtful.signal_id]
            assert restarted.orders == []


def test_an_oms_that_stalls_is_given_up_after_the_order_timeout() -> None:
    with (
        serving_oms(faults=Faults(mute_rate=1.0)) as address,
        sending_connected(address, order_timeout=0.2) as desk,
    ):
        desk.put("a")
        assert_parked(desk, "a", "no final answer within 0.2 s")


def test_an_order_that_the_oms_has_not_taken_is_not_in_doubt(stub: OmsStub) -> None:
    """The first fills what the OMS leaves unread on the wire; the other waits on our side and stays there."""
    stub.reads = False
    client = connected_client(stub.address, order_timeout=0.3)
    large = [make_signal(strategy_id="x" * 3_000_000) for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        waiting = [threads.submit(client.execute, signal) for signal in large]
    errors = [each.exception() for each in waiting]
    assert {type(error) for error in errors} == {Uncertain, NotSent}
    client.close()


def test_a_stream_that_is_being_refused_takes_no_order() -> None:
    with serving_oms(token="another") as address:  # noqa: S106 — a test's
        client = make_client(address, {"settling": 60.0})
        client.start()
        with pytest.raises(NotSent, match=r"onnect|unauthenticated"):
            client.execute(make_signal())
        client.close()


def test_an_order_whose_stream_was_dropped_is_sent_again_to_an_oms_that_knows_ids() -> None:
    rules, faults = Rules(fill_parts=2, fill_seconds=0.05), Faults(drop_rate=1.0)
    with serving_oms(rules, faults) as address:
        client = make_client(address, idempotent=True)
        with sending_by(client, idempotent=True) as desk:
            signals = desk.put("a", "b", "a", "c")
            desk.drain()
    assert {signal.signal_id for signal, _ in desk.told} == {signal.signal_id for signal in signals}
    assert [outcome.report.status for _, outcome in desk.told] == ["filled"] * 4
    assert len({outcome.report.order_id for _, outcome in desk.told}) == 4
    assert max(outcome.attempts for _, outcome in desk.told) > 1


def test_an_order_whose_stream_was_dropped_is_answered_on_the_next_one(stub: OmsStub) -> None:
    stub.answers = silent
    with sending_by(make_client(stub.address)) as desk:
        desk.put("a")
        eventually(lambda: stub.orders)
        stub.say(stub.orders[0], OrderStatus.PARTIALLY_FILLED, 4)
        stub.cut()
        eventually(lambda: len(stub.streams) == 2)
        stub.say(stub.orders[0], OrderStatus.FILLED, 10)
        assert desk.outcome().report.filled_quantity == 10.0
    assert len(stub.orders) == 1


def test_an_answer_after_the_order_timeout_still_counts_within_the_time_to_live(stub: OmsStub) -> None:
    stub.answers = silent
    with sending_by(make_client(stub.address, order_timeout=0.1)) as desk:
        desk.put("a")
        eventually(lambda: stub.orders)
        eventually(lambda: is_in_doubt(desk, stub.orders[0].id))
        stub.say(stub.orders[0], OrderStatus.FILLED, 10)
        assert desk.outcome().report.status == "filled"
    assert len(stub.orders) == 1


def is_in_doubt(desk: Sending, signal_id: str) -> bool:
    """Whether the wait for an answer is over."""
    try:
        desk.route.read_back(signal_id)
    except Uncertain as error:
        return "no final answer" in str(error)
    return False


def test_an_answer_after_the_time_to_live_changes_nothing(stub: OmsStub) -> None:
    stub.answers = silent
    with sending_connected(stub.address, order_timeout=0.1) as desk:
        desk.put("a")
        assert_parked(desk, "a", "no final answer")
        stub.say(stub.orders[0], OrderStatus.FILLED, 10)
        eventually(lambda: not is_in_doubt(desk, stub.orders[0].id))
        assert desk.report("a").reason == "session_halted"
    assert len(desk.told) == 2


def test_an_answer_about_an_order_that_nobody_gave_is_passed_over(stub: OmsStub) -> None:
    stub.answers = lambda order: [
        OrderResponse(request_id="somebody-else", status=OrderStatus.FILLED),
        *stub.friendly(order),
    ]
    with sending_by(make_client(stub.address)) as desk:
        assert [desk.report().status for _ in range(2)] == ["filled"] * 2
    assert len(stub.streams) == 1


def test_a_close_releases_who_waits_for_an_answer(stub: OmsStub) -> None:
    stub.answers = silent
    client = connected_client(stub.address)
    raised: list[Exception] = []

    def wait() -> None:
        try:
            client.execute(make_signal())
        except Uncertain as error:
            raised.append(error)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    eventually(lambda: stub.orders)
    client.close()
    waiting.join(10)
    assert [str(error) for error in raised] == ["the worker stopped before the OMS answered"]


def test_an_oms_that_ends_every_stream_is_not_called_in_a_hot_loop(stub: OmsStub) -> None:
    stub.cuts_at_once = True
    client = make_client(stub.address)
    client.start()
    eventually(lambda: len(stub.opened_at) >= 5)
    client.close()
    assert stub.opened_at[4] - stub.opened_at[0] >= 0.3  # after two streams 0.1 s, after two more 0.2 s
