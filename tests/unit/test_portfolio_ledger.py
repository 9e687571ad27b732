"""The books of a portfolio, by hand and against book-keeping of another kind in exact fractions."""

from collections import deque
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from models.portfolio import Fill, Holding, Ledger, Trades, TradingDay, decimal_of
from models.signal import Action
from services.portfolio.ledger import after, opened, replayed, valued

AT = datetime(2026, 1, 28, 15, tzinfo=UTC)
CAPITAL = Decimal(100_000)


def fill(side: Action, quantity: str, price: str, fee: str = "0", symbol: str = "AAPL") -> Fill:
    return Fill(
        order_id="o",
        symbol=symbol,
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(price),
        fee=Decimal(fee),
        filled_at=AT,
    )


def books(*fills: Fill) -> Ledger:
    return replayed(CAPITAL, fills)


def test_a_purchase_turns_cash_into_a_position_at_its_price() -> None:
    ledger = books(fill("BUY", "10", "100", "1.5"))
    assert ledger.cash == Decimal("98998.5")
    assert ledger.fees == Decimal("1.5")
    assert ledger.holdings["AAPL"].average_price == 100


def test_a_second_purchase_averages_the_price() -> None:
    holding = books(fill("BUY", "10", "100"), fill("BUY", "30", "120")).holdings["AAPL"]
    assert (holding.quantity, holding.average_price) == (Decimal(40), Decimal(115))


def test_a_partial_sale_realises_its_share_and_keeps_the_average() -> None:
    ledger = books(fill("BUY", "10", "100"), fill("SELL", "4", "110"))
    assert ledger.realised_pnl == 40
    assert ledger.holdings["AAPL"].average_price == 100
    assert ledger.trades == Trades()


def test_the_sale_of_all_ends_a_round_trip_that_is_judged_after_its_fees() -> None:
    won = books(fill("BUY", "10", "100"), fill("SELL", "4", "110"), fill("SELL", "6", "101"))
    assert won.trades == Trades(1, 1, 0)
    assert won.holdings == {}
    lost = books(fill("BUY", "10", "100", "2"), fill("SELL", "10", "100.3", "2"))
    assert lost.realised_pnl == 3
    assert lost.trades == Trades(1, 0, 1)
    even = books(fill("BUY", "10", "100"), fill("SELL", "10", "100"))
    assert even.trades == Trades(1, 0, 0)


def test_a_flip_through_zero_ends_one_trade_and_opens_the_next_at_its_own_price() -> None:
    ledger = books(fill("BUY", "10", "100"), fill("SELL", "15", "90", "3"))
    assert ledger.realised_pnl == -100
    assert ledger.trades == Trades(1, 0, 1)
    assert ledger.holdings["AAPL"] == Holding(Decimal(-5), Decimal(-450), Decimal(-1), Decimal(90))
    back = after(ledger, fill("BUY", "5", "80"))
    assert back.realised_pnl == -50
    assert back.trades == Trades(2, 1, 1)


def test_the_valuation_marks_positions_and_sums_exposure_without_its_sign() -> None:
    ledger = books(fill("BUY", "10", "100"), fill("SELL", "5", "200", symbol="MSFT"))
    value = valued(ledger, {"AAPL": Decimal(110), "MSFT": Decimal(190)})
    assert value.positions["AAPL"].unrealised_pnl == 100
    assert value.positions["MSFT"].unrealised_pnl == 50
    assert value.exposure == 1100 + 950
    assert value.equity == CAPITAL + 150
    assert value.total_pnl == 150


def test_a_holding_without_a_price_is_valued_at_its_last_fill() -> None:
    assert valued(books(fill("BUY", "10", "100"), fill("BUY", "10", "120")), {}).exposure == 2400


def test_a_day_opens_with_the_last_value_of_the_day_before() -> None:
    day = TradingDay(date(2026, 1, 28), CAPITAL, CAPITAL).at(date(2026, 1, 28), CAPITAL - 500)
    assert day.pnl == -500
    after_the_night = day.at(date(2026, 1, 29), CAPITAL - 700)
    assert after_the_night == TradingDay(date(2026, 1, 29), CAPITAL - 500, CAPITAL - 700)
    assert after_the_night.pnl == -200


# --- properties ---------------------------------------------------------------------------------------------

quantities = st.one_of(st.integers(1, 1000).map(Decimal), st.decimals("0.000000000001", "1000", places=12))
prices = st.one_of(st.decimals("0.01", "10000", places=2), st.floats(1e-6, 1e6).map(decimal_of))
fills = st.builds(
    Fill,
    order_id=st.just("o"),
    symbol=st.sampled_from(["AAPL", "MSFT", "BTC/USD"]),
    side=st.sampled_from(["BUY", "SELL"]),
    quantity=quantities,
    price=prices.filter(lambda price: price > 0),
    fee=st.decimals("0", "50", places=4),
    filled_at=st.just(AT),
)
marks = st.fixed_dictionaries(dict.fromkeys(("AAPL", "MSFT", "BTC/USD"), prices))


@given(st.lists(fills, max_size=40), marks)
def test_cash_and_positions_at_market_are_always_capital_and_profit_less_fees(
    sequence: list[Fill], at: dict[str, Decimal]
) -> None:
    ledger = opened(CAPITAL)
    for each in sequence:
        ledger = after(ledger, each)
        value = valued(ledger, at)
        assert value.equity == CAPITAL + value.realised_pnl + value.unrealised_pnl - value.fees
        assert value.equity == ledger.cash + sum(each.value for each in value.positions.values())


@given(st.lists(fills, max_size=40), marks)
def test_books_kept_by_adding_up_every_fill_agree(sequence: list[Fill], at: dict[str, Decimal]) -> None:
    value = valued(replayed(CAPITAL, sequence), at)
    signed = [(each, 1 if each.side == "BUY" else -1) for each in sequence]
    spent = sum(sign * Fraction(each.quantity) * Fraction(each.price) for each, sign in signed)
    cash = Fraction(CAPITAL) - spent - sum(Fraction(each.fee) for each in sequence)
    held: dict[str, Fraction] = {}
    for each, sign in signed:
        held[each.symbol] = held.get(each.symbol, Fraction(0)) + sign * Fraction(each.quantity)
    equity = cash + sum(quantity * Fraction(at[symbol]) for symbol, quantity in held.items())
    assert {symbol: Fraction(each.quantity) for symbol, each in value.positions.items()} == {
        symbol: quantity for symbol, quantity in held.items() if quantity
    }
    assert abs(Fraction(value.equity) - equity) < Fraction(1, 10**9)


@given(
    st.lists(
        st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 50), st.integers(1, 500)), max_size=40
    )
)
def test_realised_profit_of_single_units_sums_to_that_of_round_trips(
    sequence: list[tuple[Action, int, int]],
) -> None:
    """Whatever cost goes by, all positions closed, what was realised is what came in less what went out."""
    ledger = replayed(CAPITAL, [fill(side, str(count), str(price)) for side, count, price in sequence])
    held = ledger.holdings.get("AAPL", Holding()).quantity
    if held:
        ledger = after(ledger, fill("SELL" if held > 0 else "BUY", str(abs(held)), "100"))
    assert ledger.realised_pnl == ledger.cash - CAPITAL
    assert ledger.trades.total == _crossings(sequence)
    assert ledger.holdings == {}


def _crossings(sequence: list[tuple[Action, int, int]]) -> int:
    """Count the times that the quantity reaches zero or passes it, the last time when all is closed."""
    units: deque[int] = deque()
    trades = 0
    for side, count, _ in sequence:
        for _ in range(count):
            sign = 1 if side == "BUY" else -1
            if units and units[-1] != sign:
                units.pop()
                trades += not units
            else:
                units.append(sign)
    return trades + bool(units)
