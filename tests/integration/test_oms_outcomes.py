"""Orders over a real port: what becomes of a signal by what an OMS says, and when."""

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import redis
import trustme
from msgspec.structs import replace

from models.errors import ConfigError, NotSent
from models.signal import Signal, SignalStatus
from services.oms.journal import Entry, Journal
from services.oms.options import Faults, OmsServerOptions, Rules
from services.oms.prices import MarketPrices
from services.oms.protocol import OrderRequest, OrderResponse, OrderStatus, open_stream
from services.oms.server import OmsServer
from services.signals.oms_client import make_order
from services.signals.route import Route
from tests.acceptance.conftest import bar
from tests.oms_stub import OmsStub, make_client, serving_oms, told
from tests.sample_signals import make_signal
from tests.sending import sending_by
from tests.support import eventually, free_port


@pytest.fixture
def stub() -> Iterator[OmsStub]:
    with OmsStub() as oms:
        yield oms


def test_a_signal_is_filled_in_parts_and_reported_once() -> None:
    with serving_oms(Rules(fill_parts=3)) as address, sending_by(make_client(address)) as desk:
        report = desk.report()
        assert (report.status, report.filled_quantity, report.filled_price) == ("filled", 10.0, 100.5)
        assert report.order_id
    assert len(desk.told) == 1


def test_an_order_against_the_rules_is_rejected_and_the_next_goes_on() -> None:
    with serving_oms(Rules(reject_over_quantity=9)) as address, sending_by(make_client(address)) as desk:
        report = desk.report("a")
        assert (report.status, report.reason) == ("rejected", "quantity_over_limit")
        small = make_signal("a", quantity=9.0)
        assert desk.outbox.put(small, 0.0) is None
        assert desk.outcome().status is SignalStatus.EXECUTED


def test_what_was_filled_of_a_cancelled_order_is_executed() -> None:
    with (
        serving_oms(Rules(fill_parts=2, fill_at_most=4)) as address,
        sending_by(make_client(address)) as desk,
    ):
        report = desk.report()
        assert (report.status, report.filled_quantity, report.filled_price) == ("filled", 4.0, 100.5)


def test_a_fraction_is_refused_with_a_reason_and_nothing_is_sent(stub: OmsStub) -> None:
    with sending_by(make_client(stub.address)) as desk:
        assert desk.outbox.put(make_signal("a", quantity=0.5), 0.0) is None
        report = desk.outcome().report
        assert report.status == "rejected"
        assert report.reason is not None
        assert report.reason.startswith("fractional_quantity")
        assert desk.report("a").status == "filled"
    assert [order.quantity for order in stub.orders] == [10]


def test_what_is_said_twice_is_booked_once() -> None:
    faults = Faults(repeat_rate=1.0)
    with serving_oms(Rules(fill_parts=2), faults) as address, sending_by(make_client(address)) as desk:
        signals = desk.put("a", "b", "a", "b")
        desk.drain()
        assert {signal.signal_id for signal, _ in desk.told} == {signal.signal_id for signal in signals}
    assert [outcome.report.filled_quantity for _, outcome in desk.told] == [10.0] * 4


def test_a_contradiction_of_the_oms_is_never_booked(stub: OmsStub) -> None:
    stub.answers = lambda order: [told(order, OrderStatus.FILLED, 11, 101.0)]
    with sending_by(make_client(stub.address), ttl=0.3) as desk:
        outcome = desk.send("a")
        assert outcome.status is SignalStatus.UNKNOWN
        assert "the OMS contradicts itself: FILLED, 11 of 10 filled" in str(outcome.report.reason)
        assert desk.courier.halted == {"a"}
    assert len(stub.orders) == 1


def test_all_sessions_share_one_stream_and_each_keeps_its_order(stub: OmsStub) -> None:
    with sending_by(make_client(stub.address), threads=16) as desk:
        signals = desk.put(*[f"session-{number}" for number in range(8)] * 10)
        desk.drain()
    assert len(stub.streams) == 1
    for number in range(8):
        ours = [signal.signal_id for signal in signals if signal.session_key == f"session-{number}"]
        assert [order.id for order in stub.orders if order.id in ours] == ours


def test_an_order_that_waits_holds_up_no_other_session(stub: OmsStub) -> None:
    stub.answers = lambda order: [] if order.symbol == "SLOW" else stub.friendly(order)
    with sending_by(make_client(stub.address)) as desk:
        slow = make_signal("a", symbol="SLOW")
        assert desk.outbox.put(slow, 0.0) is None
        eventually(lambda: stub.orders)
        assert [desk.report("b").status for _ in range(5)] == ["filled"] * 5
        stub.say(stub.orders[0], OrderStatus.FILLED, 10)
        assert desk.outcome().report.signal_id == slow.signal_id


def is_refused(route: Route) -> bool:
    try:
        return route.probe().status == 401
    except NotSent:
        return False


def test_a_wrong_token_stops_sending_until_it_is_accepted() -> None:
    port = free_port()
    with sending_by(make_client(f"127.0.0.1:{port}", {"token": "t0ken", "settling": 0.3})) as desk:
        with serving_oms(port=port, token="another"):  # noqa: S106 — a test's
            eventually(lambda: is_refused(desk.route))
            report = desk.report("a")
            assert report.status == "rejected"
            assert str(report.reason).startswith("unauthenticated")
            assert "refuses_credentials" in str(desk.courier.circuit_reason)
            desk.put("b", "c")
        with serving_oms(port=port, token="t0ken"):  # noqa: S106 — a test's
            assert [desk.outcome().report.status for _ in range(2)] == ["filled"] * 2
    assert len(desk.told) == 3


def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    ca, certificate, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(str(ca))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    with serving_oms(certificate=certificate, key=key) as address:
        with sending_by(make_client(address, {"ca_file": ca})) as desk:
            assert desk.report().status == "filled"
        stranger = make_client(address)
        stranger.start()
        with pytest.raises(NotSent):
            stranger.execute(make_signal())
        stranger.close()


def test_the_reference_oms_fills_at_the_last_price_in_redis(redis_url: str) -> None:
    server = OmsServer(OmsServerOptions(port=0), MarketPrices(redis_url))
    with redis.Redis.from_url(redis_url) as publisher, sending_by(make_client(server.start())) as desk:
        assert desk.report("a").reason == "no_price"
        eventually(lambda: publisher.publish("market_data:AAPL", json.dumps(bar("AAPL", 1))) == 1)
        publisher.publish("market_trades:AAPL", b"not JSON")
        publisher.publish("market_data:MSFT", json.dumps({**bar("MSFT", 1), "close": 99.5}))
        eventually(lambda: desk.report("a").status == "filled")
        assert desk.report("a").filled_price == 100.5
    server.stop(0.0)


def test_a_port_that_is_taken_is_a_matter_of_configuration(stub: OmsStub) -> None:
    port = int(stub.address.rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 cannot be opened"):
        OmsServer(OmsServerOptions(port=port)).start()


def orders_of(signals: list[Signal]) -> Iterator[OrderRequest]:
    return iter([make_order(signal, "market") for signal in signals])


def test_a_client_that_sends_and_hangs_up_is_answered_to_the_end() -> None:
    rules = Rules(fill_parts=2, fill_seconds=0.02)
    with serving_oms(rules) as address, grpc.insecure_channel(address) as channel:
        signals = [make_signal(), make_signal()]
        answers = list(open_stream(channel, orders_of(signals), None, wait_for_ready=True))
    for signal in signals:
        assert [answer.status for answer in answers if answer.request_id == signal.signal_id] == [
            OrderStatus.PENDING,
            OrderStatus.ACCEPTED,
            OrderStatus.PARTIALLY_FILLED,
            OrderStatus.FILLED,
        ]


def test_the_reference_oms_answers_a_repeated_id_as_before_and_refuses_it_for_another_order() -> None:
    signal = make_signal()
    with serving_oms() as address, grpc.insecure_channel(address) as channel:
        *_, first = open_stream(channel, orders_of([signal]), None, wait_for_ready=True)
        [again] = open_stream(channel, orders_of([signal]), None, wait_for_ready=True)
        other = replace(signal, quantity=11.0)
        [refused] = open_stream(channel, orders_of([other]), None, wait_for_ready=True)
    assert again == first
    assert first.status == OrderStatus.FILLED
    assert (refused.status, refused.message) == (OrderStatus.REJECTED, "the id is that of another order")


def last_answers(address: str, *orders: OrderRequest) -> list[OrderResponse]:
    """Give orders on one stream, and return what was said last of each."""
    with grpc.insecure_channel(address) as channel:
        said = {
            each.request_id: each for each in open_stream(channel, iter(orders), None, wait_for_ready=True)
        }
    return [said[order.id] for order in orders]


def test_with_a_journal_the_reference_oms_knows_orders_again_after_it_was_killed(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    first, second, third = (make_order(make_signal(quantity=size), "market") for size in (10.0, 15.0, 5.0))
    with serving_oms(Rules(fill_at_most=10), journal=journal) as address:
        filled, cut = last_answers(address, first, second)
    assert (filled.status, cut.status, cut.filled_quantity) == (OrderStatus.FILLED, OrderStatus.CANCELLED, 10)
    with journal.open("ab") as torn:
        torn.write(b'{"order": {"id": "')  # killed while it wrote
    with serving_oms(journal=journal) as address:
        again = last_answers(address, first, second, third)
    with serving_oms(Rules(fill_at_most=0), journal=journal) as address:
        assert last_answers(address, first, second, third) == again
        assert again[:2] == [filled, cut]
        other = OrderRequest()
        other.CopyFrom(first)
        other.quantity = 11
        assert last_answers(address, other)[0].message == "the id is that of another order"


def test_what_an_oms_had_not_filled_when_it_was_killed_is_cancelled(tmp_path: Path) -> None:
    order = make_order(make_signal(quantity=10.0), "market")
    said = OrderResponse(
        order_id="o",
        request_id=order.id,
        status=OrderStatus.PARTIALLY_FILLED,
        filled_quantity=4,
        filled_price=100.5,
    )
    journal = Journal(tmp_path / "journal")
    journal.write(Entry(order, said))
    journal.close()
    with serving_oms(journal=tmp_path / "journal") as address:
        [answer] = last_answers(address, order)
    assert (answer.order_id, answer.status) == ("o", OrderStatus.CANCELLED)
    assert (answer.filled_quantity, answer.filled_price) == (4, 100.5)
