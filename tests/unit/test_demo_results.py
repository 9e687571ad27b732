"""Profit, loss and drawdown of a session, against cases worked out by hand."""

from decimal import Decimal

import pytest

from models.errors import StorageConflict
from models.signal import Action
from services.demo.results import Account, Fill, max_drawdown, measure

CASH = Decimal(1000)


def _fill(bar: int, action: Action, quantity: str, price: str, fee: str = "0") -> Fill:
    return Fill(bar, action, Decimal(quantity), Decimal(price), Decimal(fee))


def _amounts(*amounts: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(amount) for amount in amounts)


def test_a_session_without_trades_keeps_its_cash() -> None:
    flat = measure(CASH, _amounts("10", "20", "5"), [])
    assert flat.equity == (CASH, CASH, CASH)
    assert flat.account == Account(CASH)
    assert (flat.unrealised, flat.max_drawdown) == _amounts("0", "0")


def test_a_holding_is_marked_at_every_close_from_its_own_bar_on() -> None:
    held = measure(CASH, _amounts("10", "10", "12", "9"), [_fill(1, "BUY", "50", "10")])
    assert held.equity == _amounts("1000", "1000", "1100", "950")
    assert held.account == Account(Decimal(500), Decimal(50), Decimal(10))
    assert held.unrealised == -50
    assert held.max_drawdown == Decimal(150) / Decimal(1100)


def test_selling_part_realises_against_the_average_cost() -> None:
    fills = [_fill(0, "BUY", "10", "10"), _fill(1, "BUY", "30", "14"), _fill(2, "SELL", "15", "15")]
    result = measure(CASH, _amounts("10", "14", "15"), fills)
    assert result.account == Account(
        cash=Decimal(705),  # 1000 - 100 - 420 + 225
        quantity=Decimal(25),
        average_price=Decimal(13),  # 520 / 40
        realised=Decimal(30),  # 15 × (15 - 13)
    )
    assert result.unrealised == 50
    assert result.equity[-1] == CASH + 30 + 50


def test_selling_everything_leaves_nothing_unrealised() -> None:
    fills = [_fill(0, "BUY", "10", "10"), _fill(0, "SELL", "10", "11"), _fill(1, "BUY", "5", "20")]
    result = measure(CASH, _amounts("11", "20"), fills)
    assert (result.account.realised, result.account.average_price) == _amounts("10", "20")
    assert (result.unrealised, *result.equity) == _amounts("0", "1010", "1010")


def test_fees_leave_the_cash_and_are_summed_beside_the_profit() -> None:
    fills = [_fill(0, "BUY", "10", "10", "1.5"), _fill(1, "SELL", "10", "12", "0.5")]
    account = measure(CASH, _amounts("10", "12"), fills).account
    assert (account.cash, account.realised, account.fees) == _amounts("1018", "20", "2")


def test_fractions_add_up_exactly() -> None:
    fills = [_fill(0, "BUY", "0.1", "10"), _fill(0, "BUY", "0.2", "10"), _fill(0, "SELL", "0.3", "10")]
    assert measure(CASH, _amounts("10"), fills).account == Account(CASH)


def test_selling_more_than_is_held_is_a_contradiction() -> None:
    with pytest.raises(StorageConflict, match="sells 11 where 10 are held"):
        measure(CASH, _amounts("10"), [_fill(0, "BUY", "10", "10"), _fill(0, "SELL", "11", "10")])


def test_a_trade_beyond_the_last_bar_is_a_contradiction() -> None:
    with pytest.raises(StorageConflict, match=r"bars \[1\] of 1"):
        measure(CASH, _amounts("10"), [_fill(1, "BUY", "10", "10")])


def test_a_session_that_saw_no_bar_has_its_cash_and_no_curve() -> None:
    nothing = measure(CASH, [], [])
    assert nothing.account == Account(CASH)
    assert (nothing.equity, nothing.max_drawdown) == ((), Decimal(0))


def test_the_drawdown_is_the_deepest_fall_not_the_last() -> None:
    assert max_drawdown(_amounts("100", "120", "90", "150", "140")) == Decimal("0.25")
    assert max_drawdown(_amounts("100", "110", "130")) == 0
    assert max_drawdown([]) == 0


def test_a_fall_below_the_starting_cash_counts_from_the_start() -> None:
    losing = measure(CASH, _amounts("8"), [_fill(0, "BUY", "100", "10")])
    assert losing.max_drawdown == Decimal("0.2")
