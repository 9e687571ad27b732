"""Orders at the OMS, by their id: who is told of what was filled until now."""

from typing import TYPE_CHECKING

from services.oms.protocol import BUY, MARKET, OrderRequest, OrderStatus
from services.signals.oms_orders import OrderBook
from tests.oms_stub import told

if TYPE_CHECKING:
    from models.execution import PartialFill

ORDER = OrderRequest(id="o1", symbol="AAPL", side=BUY, type=MARKET, price=100.0, quantity=10)


def test_parts_are_told_of_with_their_average_price_and_the_end_is_not() -> None:
    fills: list[PartialFill] = []
    book = OrderBook(filled=fills.append)
    order = book.open(ORDER)
    for answer in (
        told(ORDER, OrderStatus.ACCEPTED),
        told(ORDER, OrderStatus.PARTIALLY_FILLED, 3, 101.0),
        told(ORDER, OrderStatus.PARTIALLY_FILLED, 7, 101.5),
        told(ORDER, OrderStatus.FILLED, 10, 102.0),
        told(ORDER, OrderStatus.FILLED, 10, 102.0),
    ):
        book.take(answer)
    assert [(each.signal_id, each.filled_quantity, each.filled_price) for each in fills] == [
        ("o1", 3.0, 101.0),
        ("o1", 7.0, 101.5),
    ]
    assert order.end is not None


def test_a_part_without_a_price_is_kept_and_not_told_of() -> None:
    fills: list[PartialFill] = []
    book = OrderBook(filled=fills.append)
    order = book.open(ORDER)
    book.take(told(ORDER, OrderStatus.PARTIALLY_FILLED, 3))
    assert fills == []
    assert order.progress.filled == 3
