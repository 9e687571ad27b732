"""250 trading days of ten symbols through an execution, its books compared with a second book-keeping.

The recorded prices are those of `../shared/data` where that is there, else of the stocks that come along.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cache

import pytest

from models.execution import ExecutionReport
from models.portfolio import Fill, decimal_of
from models.portfolio_execution import ExecutionOrder
from services.demo.sample_data import load_sample_data
from services.history.table_file import table_rows
from tests.support import REPOSITORY
from tests.unit.portfolio_driver import Driver, policy, report

DAYS = 250
DAY_SECONDS = 86_400.0
SYMBOLS = [f"S{number}" for number in range(9)] + ["BTC/USD"]
CENT = Decimal("0.01")
UNIVERSE = REPOSITORY.parent / "shared" / "data" / "universe_daily.csv.gz"

Days = list[dict[str, Decimal]]
"""The closes of every day, by symbol."""


def random_walk(seed: int) -> Days:
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


@cache
def recorded() -> Days:
    """Closes of the last 250 days on which ten stocks have one; the ten whose records are the longest."""
    closes: dict[str, dict[int, float]] = defaultdict(dict)
    for symbol, at, close in _recorded_closes():
        if close > 0:
            closes[symbol][at] = close
    longest = sorted(closes, key=lambda symbol: (-len(closes[symbol]), symbol))[:10]
    chosen = {symbol: closes[symbol] for symbol in longest}
    days = sorted(set.intersection(*(set(each) for each in chosen.values())))[-DAYS:]
    return [{symbol: decimal_of(chosen[symbol][day]) for symbol in longest} for day in days]


def _recorded_closes() -> Iterator[tuple[str, int, float]]:
    if UNIVERSE.exists():
        for symbol, at, values in table_rows(UNIVERSE):
            yield symbol, at, values[3]
    else:
        for bar in load_sample_data().bars:
            if bar.symbol != "FB":  # too young
                yield bar.symbol, int(bar.timestamp.timestamp()), bar.close


def with_slippage_and_fee(order: ExecutionOrder) -> ExecutionReport:
    direction = 1 if order.side == "BUY" else -1
    price = order.price * (1 + direction * Decimal("0.0002"))
    return report(
        order, filled_price=round(float(price), 6), fee=round(float(price * order.quantity) * 0.0005, 4)
    )


@pytest.mark.parametrize("stop_loss", [None, 0.15])
@pytest.mark.parametrize("days", [lambda: random_walk(1), lambda: random_walk(2), recorded])
def test_the_books_of_250_days_agree_to_the_cent_with_those_kept_from_the_fills_alone(
    days: Callable[[], Days], stop_loss: float | None
) -> None:
    walked = days()
    assert len(walked) == DAYS
    share = Decimal("0.09") if len(walked[0]) == 10 else Decimal("0.24")
    driver = Driver.of(
        policy(rebalance_seconds=5 * DAY_SECONDS, rebalance_drift=Decimal("0.01")),
        symbols=list(walked[0]),
        allocation=dict.fromkeys(walked[0], float(share)),
        risk_params={"stop_loss_pct": stop_loss},
    )
    driver.answer = with_slippage_and_fee
    rebalanced = 0
    for closes in walked:
        driver.prices = closes
        reasons = {order.reason for order in driver.after(DAY_SECONDS).settle()}
        value = driver.value
        profit = value.realised_pnl + value.unrealised_pnl
        assert abs(value.equity - (Decimal(100_000) + profit - value.fees)) == 0
        assert abs(Fraction(value.equity) - recomputed(driver.fills, closes)) < Fraction(CENT)
        if "rebalance" in reasons:
            rebalanced += 1
            assert_within_one_share(driver, share)
    assert rebalanced > 3
    assert len(driver.fills) == len(driver.given)


def recomputed(fills: list[Fill], closes: dict[str, Decimal]) -> Fraction:
    """Cash and positions at market, from nothing but the fills, in fractions."""
    equity = Fraction(100_000)
    for each in fills:
        quantity = Fraction(each.quantity) * (1 if each.side == "BUY" else -1)
        equity += quantity * (Fraction(closes[each.symbol]) - Fraction(each.price)) - Fraction(each.fee)
    return equity


def assert_within_one_share(driver: Driver, share: Decimal) -> None:
    """Slippage and fees move the equity that the targets are of: a quantity may be off by that, too."""
    slipped = driver.value.equity * Decimal("0.0005")
    for symbol in set(driver.execution.state.entered) - set(driver.execution.state.left):
        price = driver.prices[symbol]
        off = share * driver.value.equity - driver.held().get(symbol, Decimal(0)) * price
        assert -slipped <= off <= price + slipped, symbol
