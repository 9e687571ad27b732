"""What an execution does, decision by decision: waiting, entering, rebalancing, stopping out, closing."""

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from models.execution import ExecutionReport
from models.portfolio_execution import ExecutionOrder, ExecutionStatus, OrderStatus
from services.portfolio.decisions import Ending
from services.portfolio.progress import paused, resumed, stopping
from tests.unit.portfolio_driver import START, Driver, policy, report

FALL = [100.0 + 100.0 * 0.95**step for step in range(60)]


def entered(**config: Any) -> Driver:
    """An execution that has bought 350 of each of its two symbols at 100."""
    driver = Driver.of(**config)
    driver.see(AAPL=100, MSFT=100)
    driver.settle()
    return driver


def sides(driver: Driver) -> list[tuple[str, str, int, str]]:
    return [(each.side, each.symbol, int(each.quantity), each.reason) for each in driver.given]


# --- waiting and entering -----------------------------------------------------------------------------------


def test_nothing_is_ordered_before_every_symbol_has_a_price() -> None:
    driver = Driver.of()
    driver.see(AAPL=100)
    assert driver.give() == ()
    assert driver.after(59).decide() is None
    driver.see(MSFT=100)
    assert len(driver.give()) == 2


def test_a_price_that_never_comes_is_an_error_that_names_the_symbol() -> None:
    driver = Driver.of()
    driver.see(AAPL=100)
    driver.after(60)
    assert driver.decide() == Ending(status=ExecutionStatus.ERROR, reason="no price of MSFT within 60 s")


def test_the_initial_orders_buy_each_share_of_the_capital_in_whole_shares() -> None:
    driver = Driver.of(allocation={"AAPL": 0.35, "MSFT": 0.2})
    driver.see(AAPL=99.5, MSFT=300)
    driver.settle()
    assert driver.held() == {"AAPL": Decimal(351), "MSFT": Decimal(66)}
    assert {order.cycle for order in driver.given} == {1}


def test_coins_are_bought_in_fractions() -> None:
    driver = Driver.of(symbols=["BTC/USD"], allocation={"BTC/USD": 0.35})
    driver.prices["BTC/USD"] = Decimal(40_000)
    driver.settle()
    assert driver.held() == {"BTC/USD": Decimal("0.875")}


def test_the_same_decision_has_the_same_order_ids() -> None:
    first, second = Driver.of(), Driver.of()
    for driver in (first, second):
        driver.see(AAPL=100, MSFT=100)
    assert [each.order_id for each in first.give()] == [each.order_id for each in second.give()]


def test_while_an_order_is_open_nothing_else_is_decided() -> None:
    driver = Driver.of()
    driver.see(AAPL=100, MSFT=100)
    first, second = driver.give()
    driver.tell(report(first))
    driver.see(AAPL=10)
    assert driver.after(1000).decide() is None
    driver.tell(report(second))
    assert driver.decide() is not None


def test_a_symbol_is_entered_when_its_own_bars_allow_it() -> None:
    rules = {"indicators": ["RSI", "MACD"], "rsi_threshold": 40, "macd_signal": "bullish"}
    driver = Driver.of(entry_rules=rules)
    driver.see(AAPL=100, MSFT=100)
    driver.closes["AAPL"] = FALL[:33]
    assert driver.settle() == []
    driver.closes["AAPL"] = FALL
    assert [order.symbol for order in driver.settle()] == ["AAPL"]
    assert driver.after(10).settle() == []
    driver.closes["MSFT"] = FALL
    assert [order.symbol for order in driver.settle()] == ["MSFT"]
    assert driver.execution.state.cycle == 2


def test_what_the_risk_desk_refused_is_tried_again_later_and_holds_up_no_stop_loss() -> None:
    driver = Driver.of()
    driver.see(AAPL=100, MSFT=100)
    driver.allows = lambda wish: wish if wish.symbol == "AAPL" else None
    assert [order.symbol for order in driver.settle()] == ["AAPL"]
    driver.allows = lambda wish: wish
    assert driver.after(29).settle() == []
    driver.see(AAPL=90)
    assert [order.reason for order in driver.settle()] == ["stop_loss"]
    assert [order.symbol for order in driver.after(1).settle()] == ["MSFT"]


# --- reports ------------------------------------------------------------------------------------------------


def test_a_report_that_comes_twice_is_booked_once() -> None:
    driver = Driver.of()
    driver.see(AAPL=100, MSFT=100)
    first, _ = driver.give()
    driver.tell(report(first))
    before = driver.execution
    driver.tell(report(first))
    driver.tell(report(first, status="rejected", filled_quantity=0.0, filled_price=None))
    assert driver.execution == before


def test_what_was_filled_in_part_is_booked_and_the_rest_is_cancelled() -> None:
    driver = Driver.of()
    driver.see(AAPL=100, MSFT=100)
    first, _ = driver.give()
    driver.tell(report(first, filled_quantity=100.0, filled_price=100.5))
    assert driver.held() == {"AAPL": Decimal(100)}
    assert driver.fills[0].price == Decimal("100.5")


def test_a_rejected_initial_order_is_made_up_for_by_the_next_rebalancing() -> None:
    driver = Driver.of()
    driver.see(AAPL=100, MSFT=100)
    driver.answer = lambda order: report(order, status="rejected", filled_quantity=0.0, filled_price=None)
    driver.settle()
    driver.answer = report
    assert driver.after(299).settle() == []
    driver.after(1).settle()
    assert driver.held() == {"AAPL": Decimal(350), "MSFT": Decimal(350)}


def test_a_small_share_that_was_not_bought_at_first_is_bought_later() -> None:
    driver = Driver.of(allocation={"AAPL": 0.35, "MSFT": 0.03})
    driver.see(AAPL=100, MSFT=100)
    driver.answer = lambda order: (
        report(order, status="expired", filled_quantity=0.0, filled_price=None)
        if order.symbol == "MSFT"
        else report(order)
    )
    driver.settle()
    assert driver.held() == {"AAPL": Decimal(350)}
    driver.answer = report
    assert driver.after(29).settle() == []
    driver.after(1).settle()
    assert driver.held() == {"AAPL": Decimal(350), "MSFT": Decimal(30)}


@pytest.mark.parametrize("symbols", [["AAPL"], ["AAPL", "MSFT"]])
def test_shares_that_sum_to_1_are_all_bought_though_fees_must_be_paid(symbols: list[str]) -> None:
    """The gateway refuses what the cash does not pay for with its fee."""
    shares = {symbol: 1 / len(symbols) for symbol in symbols}
    limits = {"max_position_size": 1.0}
    driver = Driver.of(
        policy(max_position=Decimal(1)), symbols=symbols, allocation=shares, risk_params=limits
    )
    driver.see(**dict.fromkeys(symbols, 10.0))

    def answer(order: ExecutionOrder) -> ExecutionReport:
        value = order.price * order.quantity
        fee = value / 1000
        if value + fee <= driver.execution.ledger.cash or order.side == "SELL":
            return report(order, fee=float(fee))
        reason = "http_400: insufficient_funds: 1 more is needed"
        return report(order, status="rejected", reason=reason, filled_quantity=0.0, filled_price=None)

    driver.answer = answer
    for _ in range(3):
        driver.settle()
        driver.after(300)
    assert set(driver.held()) == set(symbols)
    assert Decimal(0) <= driver.execution.ledger.cash < 100_000 * Decimal("0.002")


def test_an_unknown_order_stays_open_and_halts_the_execution_until_it_is_resolved() -> None:
    driver = Driver.of()
    driver.see(AAPL=100, MSFT=100)
    first, second = driver.give()
    driver.tell(report(second))
    driver.tell(
        report(first, status="unknown", reason="read_timeout", filled_quantity=0.0, filled_price=None)
    )
    assert driver.execution.status is ExecutionStatus.ERROR
    assert "read_timeout" in (driver.execution.reason or "")
    assert resumed(driver.execution, driver.now, driver.policy) is None
    driver.tell(report(first))
    assert driver.execution.status is ExecutionStatus.ERROR
    driver.see(MSFT=50)
    assert driver.decide() is None
    again = resumed(driver.execution, driver.now, driver.policy)
    assert again is not None
    driver.execution = again.execution
    assert driver.held() == {"AAPL": Decimal(350), "MSFT": Decimal(350)}
    assert next(iter(driver.settle())).reason == "stop_loss"


def test_an_order_accepted_and_not_filled_is_for_a_person_to_look_after() -> None:
    driver = Driver.of()
    driver.see(AAPL=100, MSFT=100)
    first, second = driver.give()
    driver.tell(report(first, status="accepted", filled_quantity=100.0))
    driver.tell(report(second, status="accepted"))
    assert driver.held() == {"MSFT": Decimal(350)}
    assert driver.execution.status is ExecutionStatus.ERROR
    assert "accepted and not filled" in (driver.execution.reason or "")
    again = resumed(driver.execution, driver.now, driver.policy)
    assert again is not None
    assert again.execution.open_orders == {}
    assert again.execution.ledger.holdings["AAPL"].quantity == 100
    assert [(order.status, order.filled_quantity) for order in again.orders] == [
        (OrderStatus.CANCELLED, Decimal(100))
    ]


def test_stopped_while_a_person_has_to_look_it_closes_once_that_was_done() -> None:
    driver = Driver.of()
    driver.see(AAPL=100, MSFT=100)
    first, second = driver.give()
    driver.tell(report(first, status="accepted", filled_quantity=100.0))
    driver.tell(report(second))
    driver.execution = stopping(driver.execution, "stop by command") or driver.execution
    assert driver.settle() == []
    assert "accepted and not filled" in (driver.execution.reason or "")
    again = resumed(driver.execution, driver.now, driver.policy)
    assert again is not None
    driver.execution = again.execution
    assert driver.execution.reason == "stop by command"
    assert driver.after(30).settle()
    assert (driver.execution.status, driver.held()) == (ExecutionStatus.STOPPED, {})


def test_a_refusal_that_says_only_that_the_order_is_known_is_no_end() -> None:
    driver = Driver.of()
    driver.see(AAPL=100, MSFT=100)
    first, _ = driver.give()
    before = driver.execution
    driver.tell(report(first, status="refused", reason="duplicate_signal", filled_quantity=0.0))
    assert driver.execution == before


# --- rebalancing --------------------------------------------------------------------------------------------


def test_rebalancing_sells_first_and_buys_only_when_the_sells_have_ended() -> None:
    driver = entered()
    driver.see(AAPL=140, MSFT=100)
    sells = driver.after(300).give()
    assert [(order.side, order.symbol) for order in sells] == [("SELL", "AAPL")]
    assert driver.give() == ()
    driver.tell(report(sells[0]))
    buys = driver.give()
    assert [(order.side, order.symbol) for order in buys] == [("BUY", "MSFT")]
    driver.tell(report(buys[0]))
    assert driver.decide() is None
    for symbol, price in (("AAPL", 140), ("MSFT", 100)):
        off = Decimal("0.35") * driver.value.equity - driver.held()[symbol] * price
        assert 0 <= off < price


def test_rebalancing_waits_for_its_time_and_for_drift() -> None:
    driver = entered()
    driver.see(AAPL=140)
    assert driver.after(299).settle() == []
    assert len(driver.after(1).settle()) == 2
    driver.see(AAPL=141)
    assert driver.after(300).settle() == []


def test_a_symbol_over_the_position_limit_is_rebalanced_to_the_limit() -> None:
    driver = Driver.of(policy(max_position=Decimal("0.3")), risk_params={"max_position_size": 0.4})
    driver.see(AAPL=100, MSFT=100)
    driver.settle()  # this driver's risk desk allows 35 %
    driver.see(AAPL=110)
    driver.after(300).settle()
    for symbol, price in (("AAPL", 110), ("MSFT", 100)):
        assert 0 <= Decimal("0.3") * driver.value.equity - driver.held()[symbol] * price < price


def test_buys_are_never_more_than_the_cash_pays_for() -> None:
    driver = Driver.of(
        policy(max_position=Decimal(1)),
        symbols=["AAPL"],
        allocation={"AAPL": 1.0},
        risk_params={"max_position_size": 1.0},
    )
    driver.execution = replace(driver.execution, ledger=replace(driver.execution.ledger, cash=Decimal(9_950)))
    driver.see(AAPL=100)
    driver.settle()
    assert driver.held() == {"AAPL": Decimal(99)}


# --- stop loss ----------------------------------------------------------------------------------------------


def test_a_stop_loss_closes_the_position_and_the_symbol_is_not_bought_again() -> None:
    driver = entered()
    driver.see(AAPL=95)
    assert sides(driver)[2:] == []
    driver.settle()
    assert sides(driver)[2:] == [("SELL", "AAPL", 350, "stop_loss")]
    assert driver.after(10_000).settle() == []
    assert driver.held() == {"MSFT": Decimal(350)}


def test_a_gain_never_stops_out() -> None:
    driver = entered()
    driver.see(AAPL=200)
    assert driver.settle() == []


def test_what_a_stop_loss_left_is_closed_even_if_the_price_recovers() -> None:
    driver = entered()
    driver.see(AAPL=90)
    [order] = driver.give()
    driver.tell(report(order, filled_quantity=300.0))
    driver.see(AAPL=100)
    assert driver.after(29).settle() == []
    assert [int(each.quantity) for each in driver.after(1).settle()] == [50]


def test_when_every_symbol_was_stopped_out_the_execution_is_completed() -> None:
    driver = entered()
    driver.see(AAPL=50, MSFT=50)
    driver.settle()
    assert driver.execution.status is ExecutionStatus.COMPLETED
    assert driver.execution.stopped_at == START


# --- commands -----------------------------------------------------------------------------------------------


def test_paused_it_neither_enters_nor_rebalances_but_keeps_its_stop_losses() -> None:
    driver = entered()
    halted = paused(driver.execution)
    assert halted is not None
    driver.execution = halted
    driver.see(AAPL=140, MSFT=99)
    assert driver.after(300).settle() == []
    driver.see(MSFT=90)
    assert [order.reason for order in driver.settle()] == ["stop_loss"]
    assert paused(driver.execution) is None


def test_stop_closes_every_position_and_then_it_is_stopped() -> None:
    driver = entered()
    closing = stopping(driver.execution, "stopped by command")
    assert closing is not None
    driver.execution = closing
    assert stopping(closing, "again") is None
    assert paused(closing) is None
    orders = driver.settle()
    assert [(order.side, order.reason) for order in orders] == [("SELL", "close")] * 2
    assert driver.execution.status is ExecutionStatus.STOPPED
    assert driver.held() == {}
    assert stopping(driver.execution, "again") is None


def test_a_close_that_is_rejected_is_tried_again() -> None:
    driver = entered()
    driver.execution = stopping(driver.execution, "stopped by command") or driver.execution
    driver.answer = lambda order: report(order, status="rejected", filled_quantity=0.0, filled_price=None)
    assert len(driver.settle()) == 2
    assert driver.after(29).decide() is None
    driver.answer = report
    assert len(driver.after(1).settle()) == 2
    assert driver.execution.status is ExecutionStatus.STOPPED


def test_an_order_ends_in_one_of_three_ways() -> None:
    assert {status for status in OrderStatus if status.final} == {
        OrderStatus.REJECTED,
        OrderStatus.FILLED,
        OrderStatus.CANCELLED,
    }
