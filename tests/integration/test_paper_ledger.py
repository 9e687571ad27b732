"""The ledger in PostgreSQL holds, to the last digit, what the arithmetic decided."""

from collections.abc import Iterator
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.signal import Action
from services.db_client import Database
from services.paper.accounts import Accounts
from services.paper.booking import Fill, Holding, Order, Terms, decide
from services.paper.decoding import Request
from services.paper.ledger import Ledger

TERMS = Terms(fee_bps=Decimal("12.5"), slippage_bps=Decimal("3.7"))
USER = "alice"
START = Decimal(100000)

amounts = st.decimals("0.000000000001", "2000", places=12)
prices = st.decimals("0.000000000001", "500", places=12)
orders = st.tuples(st.sampled_from(["BUY", "SELL"]), st.sampled_from(["AAPL", "MSFT"]), amounts, prices)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO users (user_id, username) VALUES (%s, %s)", (USER, USER))
    yield database
    database.close()


def new_sessions(database: Database, *symbols: str) -> dict[str, str]:
    sessions = {symbol: str(uuid4()) for symbol in symbols}
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM positions; DELETE FROM trades; DELETE FROM sessions")
        cursor.execute("UPDATE users SET virtual_balance = %s", (START,))
        for symbol, session in sessions.items():
            cursor.execute(
                "INSERT INTO sessions (session_id, strategy_id, user_id, symbol, type)"
                " VALUES (%s, 'mock', %s, %s, 'stock')",
                (session, USER, symbol),
            )
    return sessions


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(orders, max_size=12))
def test_any_sequence_of_orders_is_stored_as_it_was_decided(
    database: Database, sequence: list[tuple[Action, str, Decimal, Decimal]]
) -> None:
    sessions, ledger = new_sessions(database, "AAPL", "MSFT"), Ledger(database, TERMS)
    balance, holdings, gains, fees, trades = (
        START,
        {"AAPL": Holding(), "MSFT": Holding()},
        Decimal(0),
        Decimal(0),
        0,
    )
    for action, symbol, quantity, price in sequence:
        order = Order(str(uuid4()), sessions[symbol], symbol, action, price, quantity)
        expected = decide(order, TERMS, balance, holdings[symbol])
        answer = ledger.execute(Request(order, order.signal_id))
        assert answer.executed == isinstance(expected, Fill), answer
        if isinstance(expected, Fill):
            balance, holdings[symbol] = expected.balance, expected.holding
            gains, fees, trades = gains + (expected.realized_pnl or 0), fees + expected.fee, trades + 1
    portfolio = Accounts(database).portfolio(USER)
    assert portfolio.balance == balance
    assert {each.symbol: Holding(each.quantity, each.average_price) for each in portfolio.positions} == {
        symbol: holding for symbol, holding in holdings.items() if holding.quantity
    }
    assert (portfolio.realized_pnl, portfolio.fees, portfolio.trades) == (gains, fees, trades)
    assert abs(portfolio.equity - (START + gains - fees)) < Decimal("0.000001")
