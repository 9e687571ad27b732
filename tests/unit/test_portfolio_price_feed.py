"""What the data thread leaves for the portfolio thread: prices, closes, and a place on the route."""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from models.market_data import Bar, Trade
from services.portfolio.position_monitor import PositionMonitor
from services.portfolio.price_feed import PriceFeed
from services.portfolio.progress import begun
from services.routing import BAR_CHANNEL, Router
from services.session import deliver_bar, deliver_trade
from services.turn import Errand, Turn
from tests.sample_approvals import approval

AT = datetime(2026, 1, 28, 15, tzinfo=UTC)


def bar(minute: int, close: float, timeframe: str = "1m") -> Bar:
    return Bar("AAPL", timeframe, close, close, close, close, 1.0, AT + timedelta(minutes=minute))


def nobody(symbol: str, price: float, at: float) -> None:
    """Nobody measures anything here."""


def test_the_price_is_that_of_the_last_bar_or_trade() -> None:
    marks: list[tuple[str, float]] = []
    feed = PriceFeed("AAPL", lambda symbol, price, _: marks.append((symbol, price)))
    assert feed.price is None
    feed.on_bar(bar(0, 100.1))
    assert feed.price == Decimal("100.1")
    feed.on_trade(Trade("AAPL", 100.25, 1.0, AT))
    assert feed.price == Decimal("100.25")
    assert marks == [("AAPL", 100.1), ("AAPL", 100.25)]


@pytest.mark.parametrize("price", [1e300, 1e-13])
def test_a_price_that_cannot_be_booked_is_no_price_and_takes_the_last_one_away(price: float) -> None:
    marks: list[float] = []
    feed = PriceFeed("AAPL", lambda _, told, __: marks.append(told))
    feed.on_trade(Trade("AAPL", 100.25, 1.0, AT))
    feed.on_trade(Trade("AAPL", price, 1.0, AT))
    assert feed.price is None
    assert math.isnan(marks[-1])
    feed.on_trade(Trade("AAPL", 100.5, 1.0, AT))
    assert feed.price == Decimal("100.5")


def test_indicators_get_the_closes_of_the_timeframe_with_most_bars() -> None:
    feed = PriceFeed("AAPL", nobody)
    assert feed.recent_closes() == ()
    for minute in range(300):
        feed.on_bar(bar(minute, 100.0 + minute))
    feed.on_bar(bar(300, 1.0, "1d"))
    assert len(feed.recent_closes()) == 250
    assert feed.recent_closes()[-1] == 399.0


def test_who_leaves_before_it_could_join_is_told_nothing() -> None:
    router = Router()
    feed = PriceFeed("AAPL", nobody)
    feed.leave(router)
    feed.handle(Errand(lambda late: late.join(router)))
    assert router.table.get(BAR_CHANNEL + b"AAPL") is None


def test_on_a_route_it_is_told_like_a_session_from_what_is_known_already() -> None:
    router, turn = Router(), Turn()
    known = router.feed("AAPL")
    known.begin("1m").append(bar(0, 99.0))
    known.last_price = 99.0
    first, second = PriceFeed("AAPL", nobody), PriceFeed("AAPL", nobody)
    router.add("AAPL", first, known)  # type: ignore[arg-type]
    second.handle(Errand(lambda feed: feed.join(router)))
    assert (second.price, second.recent_closes()) == (Decimal(99), (99.0,))
    sessions = router.table[BAR_CHANNEL + b"AAPL"].sessions
    deliver_bar(iter(sessions), bar(1, 101.0), turn)
    deliver_trade(iter(sessions), Trade("AAPL", 102.0, 1.0, AT), turn)
    assert first.price == second.price == Decimal(102)
    assert (second.bars, second.trades) == (1, 1)


def test_a_symbol_is_followed_as_long_as_any_execution_wants_it() -> None:
    routed: dict[str, PriceFeed] = {}

    def leave(feed: PriceFeed) -> None:
        del routed[feed.symbol]

    monitor = PositionMonitor(lambda feed: routed.update({feed.symbol: feed}), leave, nobody, 60.0)
    first = begun(approval(), AT)
    second = begun(approval(symbols=["MSFT"], allocation={"MSFT": 0.2}), AT)
    second = replace(second, execution_id=second.user_id)
    for execution in (first, first, second):
        monitor.follow(execution)
    assert set(routed) == {"AAPL", "MSFT"}
    monitor.forget(first)
    assert set(routed) == {"MSFT"}
    routed["MSFT"].on_trade(Trade("MSFT", 50.0, 1.0, AT))
    assert monitor.news() == {"MSFT"}
    assert monitor.news() == set()
    assert monitor.market(["MSFT", "AAPL"], AT).prices == {"MSFT": Decimal(50)}
    monitor.forget(second)
    assert routed == {}
