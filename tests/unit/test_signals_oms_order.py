"""How a signal becomes an order, and what surely has not left before it is taken."""

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest

from models.errors import Refused
from services.oms.protocol import BUY, LIMIT, MARKET, SELL, OrderRequest
from services.signals.oms_answers import Progress
from services.signals.oms_client import make_order
from services.signals.oms_orders import Order
from services.signals.oms_outgoing import Outgoing
from tests.sample_signals import make_signal


def test_an_order_says_what_the_signal_says() -> None:
    moment = datetime(2026, 1, 28, 12, 0, 0, 250_000, timezone(timedelta(hours=2)))
    signal = make_signal(symbol="BTC/USD", action="SELL", quantity=3.0, price=99.25, timestamp=moment)
    assert make_order(signal, "market") == OrderRequest(
        id=signal.signal_id,
        symbol="BTC/USD",
        side=SELL,
        type=MARKET,
        price=99.25,
        quantity=3,
        strategy_id="mock",
        timestamp=int(datetime(2026, 1, 28, 10, tzinfo=UTC).timestamp()) * 1000 + 250,
    )


def test_a_limit_order_is_limited_by_the_price_of_the_signal() -> None:
    order = make_order(make_signal(price=99.25), "limit")
    assert (order.side, order.type, order.price) == (BUY, LIMIT, 99.25)


def test_what_closes_a_position_of_an_execution_is_a_market_order_always() -> None:
    told = {"executionId": "one", "orderType": "MARKET"}
    assert make_order(make_signal(session_key="one", metadata=told), "limit").type == MARKET
    assert make_order(make_signal(session_key="other", metadata=told), "limit").type == LIMIT
    entry = {"executionId": "one", "orderType": "LIMIT"}
    assert make_order(make_signal(session_key="one", metadata=entry), "limit").type == LIMIT


@pytest.mark.parametrize(
    ("quantity", "reason"), [(0.5, "fractional_quantity"), (10.1, "fractional_quantity"), (1e19, "too_large")]
)
def test_a_quantity_that_is_no_number_of_whole_units_is_refused_never_rounded(
    quantity: float, reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        make_order(make_signal(quantity=quantity), "market")


def make_waiting(outgoing: Outgoing) -> Order:
    order = Order(make_order(make_signal(), "market"), Progress())
    assert outgoing.put(order)
    return order


def test_an_order_that_was_not_taken_can_be_withdrawn_and_is_never_sent() -> None:
    outgoing = Outgoing()
    first, second, third = (make_waiting(outgoing) for _ in range(3))
    assert next(outgoing) == first.request
    assert not outgoing.withdraw(first)
    assert outgoing.withdraw(second)
    assert next(outgoing) == third.request
    assert (first.written, second.written, third.written) == (True, False, True)


def test_a_stream_that_ended_gives_back_what_it_had_not_taken_and_takes_no_more() -> None:
    outgoing = Outgoing()
    first, second = make_waiting(outgoing), make_waiting(outgoing)
    next(outgoing)
    assert outgoing.end() == [second]
    assert not outgoing.put(first)
    with pytest.raises(StopIteration):
        next(outgoing)


def test_who_waits_for_an_order_is_released_by_the_end() -> None:
    outgoing = Outgoing()
    reader = threading.Thread(target=lambda: list(outgoing), daemon=True)
    reader.start()
    outgoing.end()
    reader.join(10)
    assert not reader.is_alive()
