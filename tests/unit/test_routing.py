"""The routing table: immutable, swapped whole."""

from typing import Any

from services.routing import NO_ROUTES, Router, sessions_of

A: Any = "session a"
B: Any = "session b"


def test_a_session_is_told_of_bars_and_trades_of_its_symbol() -> None:
    router = Router()
    router.add("BTC/USD", A)
    assert router.table[b"market_data:BTC/USD"].sessions == (A,)
    assert router.table[b"market_data:BTC/USD"].carries_bars
    assert router.table[b"market_trades:BTC/USD"].sessions == (A,)
    assert not router.table[b"market_trades:BTC/USD"].carries_bars
    assert b"market_data:BTC" not in router.table


def test_a_table_that_a_reader_holds_never_changes() -> None:
    router = Router()
    router.add("AAPL", A)
    held = router.table
    router.add("AAPL", B)
    router.remove("AAPL", A)
    assert sessions_of(held, "AAPL") == (A,)
    assert sessions_of(router.table, "AAPL") == (B,)


def test_what_is_known_of_a_feed_outlives_a_change_of_sessions() -> None:
    router = Router()
    router.add("AAPL", A)
    feed = router.table[b"market_data:AAPL"].feed
    router.add("AAPL", B)
    router.remove("AAPL", A)
    assert router.table[b"market_data:AAPL"].feed is feed
    assert router.table[b"market_trades:AAPL"].feed is feed


def test_the_last_session_takes_the_routes_of_its_symbol_along() -> None:
    router = Router()
    router.add("AAPL", A)
    router.remove("AAPL", A)
    router.remove("AAPL", A)
    assert dict(router.table) == {}


def test_a_closed_router_routes_nothing_to_anybody() -> None:
    router = Router()
    router.add("AAPL", A)
    router.close()
    router.add("AAPL", B)
    assert router.table is NO_ROUTES
