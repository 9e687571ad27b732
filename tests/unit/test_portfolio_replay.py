"""250 trading days of ten symbols through an execution, its books compared with a second book-keeping."""

import random
from decimal import Decimal
from fractions import Fraction

import pytest

from models.execution import ExecutionReport
from models.portfolio import Fill, decimal_of
from models.portfolio_execution import ExecutionOrder
from tests.unit.portfolio_driver import Driver, policy, report

DAYS = 250
DAY_SECONDS = 86_400.0
SYMBOLS = [f"S{number}" for number in range(9)] + ["BTC/USD"]
CENT = Decimal("0.01")


def random_walk(seed: int) -> list[dict[str, Decimal]]:
    """Closes of every day; symbols move by 2 % a day, each with a price and a trend of its own."""
    draw = random.Random(seed)  # noqa: S311 — prices for a test, not secrets
    prices = {symbol: draw.uniform(5, 600) for symbol in SYMBOLS}
    trends = {symbol: draw.uniform(-0.002, 0.003) for symbol in SYMBOLS}
    days = []
    for _ in range(DAYS):
        prices = {
            symbol: max(price * (1 + draw.gauss(trends[symbol], 0.02)), 0.5)
            for symbol, price in prices.items()
        }
        days.append({symbol: decimal_of(round(price, 4)) for symbol, price in prices.items()})
    return days


def with_slippage_and_fee(order: ExecutionOrder) -> ExecutionReport:
    direction = 1 if order.side == "BUY" else -1
    price = order.price * (1 + direction * Decimal("0.0002"))
    return report(
        order, filled_price=round(float(price), 6), fee=round(float(price * order.quantity) * 0.0005, 4)
    )


@pytest.mark.parametrize("stop_loss", [None, 0.15])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_books_of_250_days_agree_to_the_cent_with_those_kept_from_the_fills_alone(
    seed: int, stop_loss: float | None
) -> None:
    driver = Driver.of(
        policy(rebalance_seconds=5 * DAY_SECONDS, rebalance_drift=Decimal("0.01")),
        symbols=SYMBOLS,
        allocation=dict.fromkeys(SYMBOLS, 0.09),
        risk_params={"stop_loss_pct": stop_loss},
    )
    driver.answer = with_slippage_and_fee
    rebalanced = 0
    for closes in random_walk(seed):
        driver.prices = closes
        reasons = {order.reason for order in driver.after(DAY_SECONDS).settle()}
        value = driver.value
        profit = value.realised_pnl + value.unrealised_pnl
        assert abs(value.equity - (Decimal(100_000) + profit - value.fees)) == 0
        assert abs(Fraction(value.equity) - recomputed(driver.fills, closes)) < Fraction(CENT)
        if "rebalance" in reasons:
            rebalanced += 1
            assert_within_one_share(driver)
    assert rebalanced > 10
    assert len(driver.fills) == len(driver.given)


def recomputed(fills: list[Fill], closes: dict[str, Decimal]) -> Fraction:
    """Cash and positions at market, from nothing but the fills, in fractions."""
    equity = Fraction(100_000)
    for each in fills:
        quantity = Fraction(each.quantity) * (1 if each.side == "BUY" else -1)
        equity += quantity * (Fraction(closes[each.symbol]) - Fraction(each.price)) - Fraction(each.fee)
    return equity


def assert_within_one_share(driver: Driver) -> None:
    """Slippage and fees move the equity that the targets are of: a quantity may be off by that, too."""
    slipped = driver.value.equity * Decimal("0.0005")
    for symbol in set(driver.execution.state.entered) - set(driver.execution.state.left):
        price = driver.prices[symbol]
        off = Decimal("0.09") * driver.value.equity - driver.held().get(symbol, Decimal(0)) * price
        assert -slipped <= off <= price + slipped, symbol
