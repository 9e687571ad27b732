"""Quantities from shares: rounded down, sells first, and back on target afterwards."""

from collections.abc import Iterable
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from models.portfolio import Fill, Ledger
from services.portfolio.allocation import Wish, closing, has_drifted, target_quantity, wishes
from services.portfolio.ledger import after, opened, valued
from tests.unit.test_portfolio_ledger import AT, books, fill

HALF = Decimal("0.5")


def bought(ledger: Ledger, orders: Iterable[Wish]) -> Ledger:
    for order in orders:
        ledger = after(
            ledger,
            Fill(
                order_id="o",
                symbol=order.symbol,
                side=order.side,
                quantity=order.quantity,
                price=order.price,
                filled_at=AT,
            ),
        )
    return ledger


def test_shares_are_whole_and_coins_are_fractions() -> None:
    assert target_quantity("AAPL", HALF, Decimal(1000), Decimal(300)) == 1
    assert target_quantity("BTC/USD", HALF, Decimal(1000), Decimal(30_000)) == Decimal("0.01666666")


def test_nothing_is_bought_with_no_equity() -> None:
    assert target_quantity("AAPL", HALF, Decimal(-5), Decimal(300)) == 0


def test_sells_come_before_buys() -> None:
    ledger = books(fill("BUY", "500", "100", symbol="MSFT"))
    prices = {"AAPL": Decimal(100), "MSFT": Decimal(100)}
    found = wishes({"AAPL": Decimal("0.4"), "MSFT": Decimal("0.1")}, valued(ledger, prices), prices)
    assert [(wish.side, wish.symbol, wish.quantity) for wish in found] == [
        ("SELL", "MSFT", Decimal(400)),
        ("BUY", "AAPL", Decimal(400)),
    ]


def test_closing_sells_what_is_long_and_buys_back_what_is_short() -> None:
    ledger = books(fill("BUY", "10", "100"), fill("SELL", "5", "50", symbol="MSFT"))
    found = closing(valued(ledger, {}), {"AAPL": Decimal(90)})
    assert [(wish.side, wish.quantity, wish.price) for wish in found] == [
        ("SELL", Decimal(10), Decimal(90)),
        ("BUY", Decimal(5), Decimal(50)),
    ]


def test_drift_is_acted_on_beyond_its_limit_and_not_at_it() -> None:
    value = valued(books(fill("BUY", "300", "100")), {})
    assert not has_drifted({"AAPL": Decimal("0.25")}, value, Decimal("0.05"))
    assert has_drifted({"AAPL": Decimal("0.2499")}, value, Decimal("0.05"))
    assert has_drifted({"AAPL": Decimal("0.30"), "MSFT": Decimal("0.06")}, value, Decimal("0.05"))


prices = st.decimals("1", "3000", places=2)


@given(st.lists(st.tuples(prices, prices, st.integers(0, 200)), min_size=1, max_size=8))
def test_after_its_wishes_are_filled_every_symbol_is_within_one_share_of_its_target(
    market: list[tuple[Decimal, Decimal, int]],
) -> None:
    share = (Decimal(1) / len(market)).quantize(Decimal("0.0001")) - Decimal("0.0001")
    ledger = opened(Decimal(100_000))
    targets = {f"S{number}": share for number in range(len(market))}
    before = {f"S{number}": first for number, (first, _, _) in enumerate(market)}
    now = {f"S{number}": later for number, (_, later, _) in enumerate(market)}
    ledger = bought(ledger, wishes(targets, valued(ledger, before), before))
    ledger = bought(ledger, wishes(targets, valued(ledger, now), now))
    value = valued(ledger, now)
    for symbol, price in now.items():
        held = value.positions[symbol].value if symbol in value.positions else Decimal(0)
        assert Decimal(0) <= share * value.equity - held < price
