"""Every rule at its limit, a cent or a share below it, and one beyond it."""

from decimal import Decimal, localcontext
from typing import Any

import pytest

from models.execution_plan import RiskParams
from models.portfolio import EXACT
from models.risk import Approved, Limits, Measure, Order, Reduced, Refused, Rule, Verdict
from services.risk.checks import DayLoss, Snapshot, check
from services.risk.lines import Flight, Line
from tests.sample_risk import limits, order, seen

CENT = Decimal("0.01")


def judged(given: Order, snapshot: Snapshot | None = None, known: Limits | None = None) -> Verdict:
    with localcontext(EXACT):
        return check(given, snapshot or seen(), known or limits())


def rule_of(verdict: Verdict) -> Rule | None:
    return None if isinstance(verdict, Approved) else verdict.rule


def held(quantity: str, **flights: Flight) -> Line:
    return Line(held=Decimal(quantity), **flights)


def flight(quantity: str, price: str) -> Flight:
    return Flight().plus(Decimal(quantity), Decimal(price))


@pytest.mark.parametrize(
    ("quantity", "price"), [("10", "NaN"), ("NaN", "100"), ("10", "Infinity"), ("0", "100"), ("10", "-1")]
)
def test_an_order_without_a_number_is_refused(quantity: str, price: str) -> None:
    assert rule_of(judged(order(quantity=quantity, price=price))) is Rule.MISSING_DATA
    assert rule_of(judged(order("SELL", quantity, price), seen(held("100")))) is Rule.MISSING_DATA


def test_without_a_market_price_nothing_may_grow() -> None:
    verdict = judged(order(), seen(mark=None))
    assert isinstance(verdict, Refused)
    assert (verdict.rule, verdict.value) == (Rule.MISSING_DATA, None)
    assert "AAPL" in verdict.reason


@pytest.mark.parametrize(("age", "rule"), [(179.9, None), (180.0, None), (180.1, Rule.STALE_PRICE)])
def test_a_price_may_be_as_old_as_its_limit(age: float, rule: Rule | None) -> None:
    assert rule_of(judged(order(), seen(price_age=age))) is rule


def test_prices_of_history_do_not_age() -> None:
    assert rule_of(judged(order(), seen(price_age=1e9), limits(price_max_age=None))) is None


@pytest.mark.parametrize(("sent", "rule"), [(9, None), (10, Rule.THROTTLE), (11, Rule.THROTTLE)])
def test_so_many_orders_may_go_out_within_a_second(sent: int, rule: Rule | None) -> None:
    assert rule_of(judged(order(), seen(sent=sent))) is rule


@pytest.mark.parametrize(
    ("quantity", "price", "rule"),
    [
        ("1", "99.99", Rule.ORDER_SIZE),
        ("1", "100.00", None),
        ("1", "100.01", None),
        ("1000", "99.99999", None),
        ("1000", "100.00", None),
        ("1", "100000.01", Rule.ORDER_SIZE),
        ("1000", "100.00001", Rule.ORDER_SIZE),
        ("0.3", "333333.3333333333333", None),  # a float's product of these would be over the limit
    ],
)
def test_an_order_is_worth_no_less_and_no_more_than_its_limits(
    quantity: str, price: str, rule: Rule | None
) -> None:
    verdict = judged(order(quantity=quantity, price=price))
    assert rule_of(verdict) is rule
    if isinstance(verdict, Refused):
        assert verdict.value == Decimal(quantity) * Decimal(price)


@pytest.mark.parametrize(
    ("portfolio", "verdict"),
    [
        (Decimal(100_000) + CENT, None),
        (Decimal(100_000), None),
        (Decimal(100_000) - CENT, Decimal(299)),
    ],
)
def test_a_position_may_come_to_its_share_and_is_reduced_to_what_fits(
    portfolio: Decimal, verdict: Decimal | None
) -> None:
    found = judged(order(quantity="300"), seen(portfolio=portfolio))
    assert (found.quantity if isinstance(found, Reduced) else None) == verdict


@pytest.mark.parametrize(("quantity", "fits"), [("299", None), ("300", None), ("301", "300"), ("900", "300")])
def test_a_share_more_than_fits_is_a_share_too_much(quantity: str, fits: str | None) -> None:
    found = judged(order(quantity=quantity), seen(portfolio=Decimal(100_000)))
    assert (str(found.quantity) if isinstance(found, Reduced) else None) == fits


def test_what_is_held_and_in_flight_by_anybody_takes_room() -> None:
    line = held("50", buys=flight("40", "101"))
    found = judged(order(quantity="300"), seen(line, portfolio=Decimal(100_000), others=Decimal(10_000)))
    assert isinstance(found, Reduced)
    assert found.quantity == (30_000 - 10_000 - 5_000 - 4_040) // 100
    assert found.value == 10_000 + 5_000 + 4_040 + 30_000
    assert found.limit == 30_000


def test_an_order_counts_at_its_own_price_where_that_is_above_the_market() -> None:
    found = judged(order(quantity="300", price="110"), seen(portfolio=Decimal(100_000)))
    assert isinstance(found, Reduced)
    assert found.quantity == 272
    found = judged(order(quantity="300", price="90"), seen(portfolio=Decimal(100_000)))
    assert isinstance(found, Approved)


def test_coins_are_reduced_to_fractions() -> None:
    given = order(quantity="1", price="70000.01", symbol="BTC/USD", asset_type="crypto")
    found = judged(given, seen(mark="70000.01", portfolio=Decimal(100_000)))
    assert isinstance(found, Reduced)
    assert found.quantity == Decimal("0.42857136")
    assert found.quantity * Decimal("70000.01") <= 30_000


@pytest.mark.parametrize(("others", "rule"), [("29900", None), ("29900.01", Rule.POSITION_SIZE)])
def test_what_fits_must_be_worth_an_order(others: str, rule: Rule | None) -> None:
    found = judged(order(quantity="1"), seen(portfolio=Decimal(100_000), others=Decimal(others)))
    assert rule_of(found) is rule
    assert not isinstance(found, Reduced)


@pytest.mark.parametrize(("quantity", "warns"), [("239", False), ("240", True), ("241", True), ("300", True)])
def test_a_position_warns_from_80_percent_of_its_limit(quantity: str, *, warns: bool) -> None:
    found = judged(order(quantity=quantity), seen(portfolio=Decimal(100_000)))
    expected = Measure(Rule.POSITION_SIZE, Decimal(quantity) * 100, Decimal(30_000))
    assert found == Approved(warnings=(expected,) if warns else ())


@pytest.mark.parametrize(
    ("exposure", "rule"),
    [
        (Decimal(999_000) - CENT, None),
        (Decimal(999_000), None),
        (Decimal(999_000) + CENT, Rule.TOTAL_EXPOSURE),
    ],
)
def test_everything_together_may_come_to_its_limit(exposure: Decimal, rule: Rule | None) -> None:
    verdict = judged(order(), seen(exposure=exposure))
    assert rule_of(verdict) is rule
    if isinstance(verdict, Refused):
        assert (verdict.value, verdict.limit) == (exposure + 1_000, Decimal(1_000_000))


@pytest.mark.parametrize(("exposure", "rule"), [("999000", None), ("999000.01", Rule.TOTAL_EXPOSURE)])
def test_what_was_there_before_does_not_count_twice(exposure: str, rule: Rule | None) -> None:
    assert rule_of(judged(order(), seen(held("10"), exposure=Decimal(exposure)))) is rule


def test_what_makes_nothing_larger_passes_a_total_that_is_over_its_limit() -> None:
    over = Decimal(2_000_000)
    assert isinstance(judged(order("SELL", "20"), seen(held("10"), exposure=over)), Approved)
    assert rule_of(judged(order("SELL", "21"), seen(held("10"), exposure=over))) is Rule.TOTAL_EXPOSURE


@pytest.mark.parametrize(("loss", "rule"), [("4999.99", None), ("5000", None), ("5000.01", Rule.DAILY_LOSS)])
def test_a_day_may_lose_as_much_as_its_limit(loss: str, rule: Rule | None) -> None:
    lost = DayLoss(Decimal(loss), Decimal(5_000))
    verdict = judged(order(), seen(losses=(lost,)))
    assert rule_of(verdict) is rule
    if isinstance(verdict, Approved):
        assert verdict.warnings == (Measure(Rule.DAILY_LOSS, Decimal(loss), Decimal(5_000)),)


@pytest.mark.parametrize(("loss", "near"), [("3499.99", False), ("3500", True), ("3500.01", True)])
def test_a_day_is_near_its_limit_from_70_percent(loss: str, *, near: bool) -> None:
    assert DayLoss(Decimal(loss), Decimal(5_000)).is_near is near


def test_once_halted_nothing_grows_whatever_the_loss_is_now() -> None:
    halted = (DayLoss(Decimal(0), Decimal(5_000), "it lost too much"),)
    verdict = judged(order(), seen(losses=halted))
    assert isinstance(verdict, Refused)
    assert verdict.reason == "daily_loss: it lost too much"
    assert isinstance(judged(order("SELL", "10"), seen(held("10"), losses=halted)), Approved)


HOSTILE = seen(
    held("10"),
    mark=None,
    sent=10,
    exposure=Decimal(10**9),
    portfolio=Decimal(0),
    losses=(DayLoss(Decimal(0), Decimal(0), "halted"),),
)


def test_closing_passes_every_limit() -> None:
    assert isinstance(judged(order("SELL", "10", "0.01"), HOSTILE), Approved)
    assert isinstance(judged(order("SELL", "0.5", "1000000"), HOSTILE), Approved)


@pytest.mark.parametrize(
    "changes",
    [
        {"mark": None, "price_age": None},
        {"price_age": 1e9},
        {"sent": 10},
        {"portfolio": Decimal(100)},
        {"exposure": Decimal(10**9), "portfolio": Decimal(10**9)},
        {"losses": (DayLoss(Decimal(6), Decimal(5)),)},
    ],
)
def test_what_would_turn_a_position_round_is_cut_to_what_closes_it(changes: dict[str, Any]) -> None:
    long = judged(order("SELL", "1000", "100"), seen(held("10"), **changes))
    short = judged(order("BUY", "1000", "100"), seen(held("-10"), **changes))
    for found in (long, short):
        assert isinstance(found, Reduced)
        assert found.quantity == 10


def test_an_order_too_large_is_cut_to_what_closes() -> None:
    found = judged(order("SELL", "2000", "100"), seen(held("10")))
    assert isinstance(found, Reduced)
    assert (found.rule, found.quantity) == (Rule.ORDER_SIZE, Decimal(10))


def test_a_flip_may_use_the_whole_limit_on_the_other_side() -> None:
    snapshot = seen(held("300"), portfolio=Decimal(100_000))
    assert isinstance(judged(order("SELL", "600"), snapshot), Approved)
    found = judged(order("SELL", "601"), snapshot)
    assert isinstance(found, Reduced)
    assert found.quantity == 600
    mirrored = seen(held("-300"), portfolio=Decimal(100_000))
    assert isinstance(judged(order("BUY", "600"), mirrored), Approved)
    assert rule_of(judged(order("BUY", "601"), mirrored)) is Rule.POSITION_SIZE


def test_short_positions_are_limited_like_long_ones() -> None:
    found = judged(order("SELL", "301"), seen(portfolio=Decimal(100_000)))
    assert isinstance(found, Reduced)
    assert found.quantity == 300
    line = held("-200", sells=flight("50", "100"))
    found = judged(order("SELL", "100"), seen(line, portfolio=Decimal(100_000)))
    assert isinstance(found, Reduced)
    assert found.quantity == 50


def test_what_is_being_closed_already_cannot_be_closed_twice() -> None:
    line = held("10", sells=flight("8", "100"))
    halted = (DayLoss(Decimal(0), Decimal(0), "halted"),)
    found = judged(order("SELL", "10"), seen(line, losses=halted))
    assert isinstance(found, Reduced)
    assert found.quantity == 2
    closed = held("10", sells=flight("10", "100"))
    assert isinstance(judged(order("SELL", "10"), seen(closed, losses=halted)), Refused)


def test_the_first_refusal_wins() -> None:
    nothing_fits = seen(mark="100", price_age=1e9, sent=99, portfolio=Decimal(1), exposure=Decimal(10**9))
    wrong = order(quantity="100000")
    assert rule_of(judged(wrong, nothing_fits)) is Rule.STALE_PRICE
    assert rule_of(judged(wrong, seen(sent=99, portfolio=Decimal(1)))) is Rule.THROTTLE
    assert rule_of(judged(wrong, seen(portfolio=Decimal(1)))) is Rule.ORDER_SIZE
    assert rule_of(judged(order(), seen(portfolio=Decimal(1), exposure=Decimal(10**9)))) is Rule.POSITION_SIZE


@pytest.mark.parametrize("own", [None, 0.2, 0.3, 0.9])
def test_an_executions_own_limits_only_tighten(own: float | None) -> None:
    worker = limits(stop_loss=Decimal("0.10"))
    found = worker.tightened(RiskParams(max_position_size=own, max_daily_loss=own, stop_loss_pct=own))
    share = Decimal(repr(own)) if own is not None else Decimal(1)
    assert found.max_position == min(share, Decimal("0.3"))
    assert found.max_daily_loss == min(share, Decimal("0.05"))
    assert found.stop_loss == min(share, Decimal("0.10"))
    assert limits().tightened(RiskParams(stop_loss_pct=0.07)).stop_loss == Decimal("0.07")
    assert limits().tightened(RiskParams()) == limits()
