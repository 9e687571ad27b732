"""When a position has met its stop loss, to the cent, and what closes it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.portfolio import PositionValue
from models.risk import Order
from services.risk.stop_loss import is_stopped_out, stop_loss_order

STOP, BUFFER = Decimal("0.05"), Decimal("0.02")
amounts = st.decimals(min_value="0.01", max_value=100_000, places=2)


def stopped(quantity: str, price: str, entry: str = "100") -> bool:
    return is_stopped_out(Decimal(quantity), Decimal(entry), Decimal(price), STOP, BUFFER)


@pytest.mark.parametrize(
    ("price", "out"), [("92.99", True), ("93.00", True), ("93.01", False), ("150", False)]
)
def test_a_long_position_is_closed_at_its_stop_price_or_below(price: str, *, out: bool) -> None:
    assert stopped("10", price) is out


@pytest.mark.parametrize(
    ("price", "out"), [("107.01", True), ("107", True), ("106.99", False), ("50", False)]
)
def test_a_short_position_is_closed_at_its_stop_price_or_above(price: str, *, out: bool) -> None:
    assert stopped("-10", price) is out


def test_where_there_is_no_position_or_no_number_nothing_is_closed() -> None:
    assert not stopped("0", "1")
    assert not stopped("10", "NaN")
    assert not stopped("NaN", "1")
    assert not stopped("10", "1", entry="NaN")
    assert not stopped("10", "1", entry="0")
    assert not stopped("10", "0")
    assert not stopped("-10", "Infinity")
    assert not is_stopped_out(Decimal(10), Decimal(100), Decimal(50), Decimal("-0.5"), Decimal("0.2"))


@given(quantity=amounts, entry=amounts, gain=amounts, stop=st.decimals(0, 1), buffer=st.decimals(0, 1))
def test_a_stop_loss_never_fires_on_a_gain(
    quantity: Decimal, entry: Decimal, gain: Decimal, stop: Decimal, buffer: Decimal
) -> None:
    assert not is_stopped_out(quantity, entry, entry + gain, stop, buffer)
    if entry > gain:
        assert not is_stopped_out(-quantity, entry, entry - gain, stop, buffer)


def position(quantity: str, price: str) -> PositionValue:
    held, market = Decimal(quantity), Decimal(price)
    return PositionValue(
        quantity=held,
        average_price=Decimal(100),
        price=market,
        value=held * market,
        unrealised_pnl=held * (market - 100),
        weight=Decimal(0),
    )


def closing(held: PositionValue) -> Order | None:
    return stop_loss_order(held, STOP, BUFFER, order_id="o1", owner="e1", symbol="AAPL")


def test_what_is_stopped_out_is_closed_whole_at_the_market() -> None:
    assert closing(position("10.5", "93")) == Order(
        order_id="o1", owner="e1", symbol="AAPL", side="SELL", quantity=Decimal("10.5"), price=Decimal(93)
    )
    assert closing(position("-3", "108")) == Order(
        order_id="o1", owner="e1", symbol="AAPL", side="BUY", quantity=Decimal(3), price=Decimal(108)
    )
    assert closing(position("10", "94")) is None
