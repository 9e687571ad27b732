"""The gateway's tables as the demo reads them: receipts, trades, and the bar that each trade answers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from models.errors import StorageConflict
from models.market_data import Bar
from models.signal import derive_signal_id
from services.db_client import Database
from services.demo.books import GatewayBook
from services.demo.ledger_view import BookedTrade, LedgerView, locate
from services.demo.results import Fill

SESSION = "sma_cross-IBM"
BARS = [
    Bar("IBM", "1d", 10.0, 11.0, 9.0, 10.5, 100.0, datetime(2000, 3, 1, tzinfo=UTC) + timedelta(days=day))
    for day in range(5)
]
OPENED = (
    "INSERT INTO users (user_id, username) VALUES (%(id)s, %(id)s);"
    "INSERT INTO sessions (session_id, strategy_id, user_id, symbol, type)"
    " VALUES (%(id)s, 'sma_cross', %(id)s, 'IBM', 'stock')"
)
BOOKED = (
    "INSERT INTO trades (signal_id, session_id, user_id, symbol, action, quantity, price, fee)"
    " VALUES (%(signal)s, %(session)s, %(session)s, 'IBM', %(action)s, %(quantity)s, 10.5, 0.25)"
)
RECEIVED = (
    "INSERT INTO paper_receipts (signal_id, session_id, request_hash, status_code, reply)"
    " VALUES (%(signal)s, %(session)s, '', %(status)s, '{}')"
)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    with made.transaction() as cursor:
        cursor.execute(OPENED, {"id": SESSION})
    yield made
    made.close()


def _signal(bar: int, ordinal: int = 0) -> str:
    return derive_signal_id(SESSION, BARS[bar].identity, ordinal)


def _trade(bar: int, ordinal: int = 0) -> BookedTrade:
    return BookedTrade(_signal(bar, ordinal), "BUY", Decimal(1), Decimal(10), Decimal(0))


def test_receipts_are_counted_by_session_with_their_rejections(database: Database) -> None:
    with database.transaction() as cursor:
        for number, status in enumerate((201, 201, 400)):
            cursor.execute(RECEIVED, {"signal": number, "session": SESSION, "status": status})
        cursor.execute(RECEIVED, {"signal": "other", "session": "gone", "status": 404})
    assert LedgerView(database).receipts() == {SESSION: GatewayBook(3, 1), "gone": GatewayBook(1, 1)}


def test_trades_come_in_the_order_of_their_booking(database: Database) -> None:
    view = LedgerView(database)
    assert (view.count_trades(), view.trades()) == (0, {})
    with database.transaction() as cursor:
        for action, quantity in (("BUY", "2.5"), ("SELL", "0.5")):
            values = {"signal": action, "session": SESSION, "action": action, "quantity": quantity}
            cursor.execute(BOOKED, values)
    price, fee = Decimal("10.5"), Decimal("0.25")
    assert view.trades() == {
        SESSION: [
            BookedTrade("BUY", "BUY", Decimal("2.5"), price, fee),
            BookedTrade("SELL", "SELL", Decimal("0.5"), price, fee),
        ]
    }
    assert view.count_trades() == 2


def test_a_trade_is_found_at_the_bar_that_its_signal_answers() -> None:
    found = locate(SESSION, [_trade(1), _trade(4)], BARS)
    assert found == (
        Fill(1, "BUY", Decimal(1), Decimal(10)),
        Fill(4, "BUY", Decimal(1), Decimal(10)),
    )


def test_two_signals_on_one_bar_are_both_found() -> None:
    assert [fill.bar for fill in locate(SESSION, [_trade(2), _trade(2, ordinal=1)], BARS)] == [2, 2]


def test_a_trade_that_answers_no_bar_is_a_contradiction() -> None:
    with pytest.raises(StorageConflict, match="answer no bar"):
        locate("another-session", [_trade(1)], BARS)


def test_a_session_without_trades_has_no_fills() -> None:
    assert locate(SESSION, [], BARS) == ()
