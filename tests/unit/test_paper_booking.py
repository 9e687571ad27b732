"""What an order does to an account, held against the same rules written down in fractions."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from models.signal import Action
from services.paper.booking import SMALLEST, Fill, Holding, Order, Shortfall, Terms, decide

NO_TERMS = Terms()
amounts = st.decimals("0.000001", "1000", places=6)
prices = st.decimals("0.01", "5000", places=4)
orders = st.tuples(st.sampled_from(["BUY", "SELL"]), amounts, prices)
terms = st.builds(Terms, fee_bps=st.decimals(0, 100, places=2), slippage_bps=st.decimals(0, 9999, places=2))


def order(action: Action, quantity: str | Decimal, price: str | Decimal) -> Order:
    return Order("signal", "session", "AAPL", action, Decimal(price), Decimal(quantity))


def filled(outcome: Fill | Shortfall) -> Fill:
    assert isinstance(outcome, Fill), outcome
    return outcome


def test_slippage_is_against_the_trader_and_the_fee_is_on_the_value() -> None:
    costs = Terms(fee_bps=Decimal(10), slippage_bps=Decimal(50))
    bought = filled(decide(order("BUY", "10", "100"), costs, Decimal(10000), Holding()))
    assert (bought.price, bought.fee, bought.balance) == (
        Decimal("100.5"),
        Decimal("1.005"),
        Decimal("8993.995"),
    )
    assert bought.holding == Holding(Decimal(10), Decimal("100.5"))
    sold = filled(decide(order("SELL", "10", "100"), costs, bought.balance, bought.holding))
    assert (sold.price, sold.fee, sold.realized_pnl) == (Decimal("99.5"), Decimal("0.995"), Decimal(-10))
    assert sold.balance == Decimal(10000) - 10 - bought.fee - sold.fee
    assert sold.holding == Holding()


def test_slippage_and_fee_count_before_the_funds_do() -> None:
    costs = Terms(fee_bps=Decimal(10), slippage_bps=Decimal(50))
    exactly = Decimal("1006.005")
    assert filled(decide(order("BUY", "10", "100"), costs, exactly, Holding())).balance == 0
    short = decide(order("BUY", "10", "100"), costs, exactly - SMALLEST, Holding())
    assert isinstance(short, Shortfall)
    assert short.error == "insufficient_funds"
    assert "1006.005" in short.message


def test_one_smallest_unit_too_much_cannot_be_sold() -> None:
    held = Holding(Decimal(5), Decimal(1))
    short = decide(order("SELL", Decimal(5) + SMALLEST, "1"), NO_TERMS, Decimal(0), held)
    assert isinstance(short, Shortfall)
    assert short.error == "insufficient_position"


def test_no_fill_is_ever_free() -> None:
    steep = Terms(slippage_bps=Decimal("9999.99"))
    sold = decide(order("SELL", "1", SMALLEST), steep, Decimal(0), Holding(Decimal(1), SMALLEST))
    assert filled(sold).price == SMALLEST


def test_the_largest_order_is_booked_without_losing_a_digit() -> None:
    largest = Decimal(10) ** 12
    bought = decide(order("BUY", largest, largest - SMALLEST), NO_TERMS, largest * largest, Holding())
    assert filled(bought).balance == 1
    assert filled(bought).holding.average_price == largest - SMALLEST


@given(st.lists(orders, max_size=30), terms)
def test_cash_and_cost_and_gains_and_fees_always_add_up(
    sequence: list[tuple[Action, Decimal, Decimal]], costs: Terms
) -> None:
    """Checked with fractions, which do not round: the ledger may differ by its rounding and no more."""
    start = Decimal(100000)
    balance, holding = start, Holding()
    gains = fees = Fraction(0)
    cash, held, cost = Fraction(start), Fraction(0), Fraction(0)
    for action, quantity, price in sequence:
        outcome = decide(order(action, quantity, price), costs, balance, holding)
        sign = 1 if action == "BUY" else -1
        fill_price = Fraction(price) * (1 + sign * Fraction(costs.slippage_bps) / 10000)
        fee = fill_price * Fraction(quantity) * Fraction(costs.fee_bps) / 10000
        if isinstance(outcome, Shortfall):
            lacks_cash = action == "BUY" and cash < fill_price * Fraction(quantity) + fee + ROUNDING
            lacks_units = action == "SELL" and held < Fraction(quantity)
            assert lacks_cash or lacks_units
            continue
        cost_of_order = (
            fill_price * Fraction(quantity) if action == "BUY" else cost / held * Fraction(quantity)
        )
        gains += 0 if action == "BUY" else fill_price * Fraction(quantity) - cost_of_order
        fees += fee
        cash -= sign * fill_price * Fraction(quantity) + fee
        held += sign * Fraction(quantity)
        cost = cost + sign * cost_of_order if held else Fraction(0)
        balance, holding = outcome.balance, outcome.holding
        assert balance >= 0
        assert holding.quantity == held
        assert abs(Fraction(balance) - cash) < ROUNDING
        assert abs(Fraction(holding.quantity * holding.average_price) - cost) < ROUNDING
        assert abs(Fraction(start) + gains - fees - Fraction(balance) - cost) < ROUNDING


ROUNDING = Fraction(1, 10**6)
