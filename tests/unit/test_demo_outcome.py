"""The three books of a demo: equal when nothing was lost, and told apart by name when something was."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services.demo.books import GatewayBook, WorkerBook
from services.demo.outcome import SessionOutcome, add_up, check_books
from services.demo.portfolio_outcome import PortfolioOutcome, check_portfolio
from services.demo.results import Fill, measure
from tests.sample_portfolio import PORTFOLIO

FILLS = (
    Fill(0, "BUY", Decimal(10), Decimal(100)),
    Fill(1, "SELL", Decimal(10), Decimal(120)),
    Fill(1, "BUY", Decimal(4), Decimal(120)),
)
CLOSES = (Decimal(100), Decimal(120), Decimal(110))
PUBLISHED = {"IBM": 3}


def _outcome() -> SessionOutcome:
    """Three trades and one rejection: 200 realised, four units held at a loss of 40."""
    return SessionOutcome(
        session_id="one",
        strategy="sma_cross",
        symbol="IBM",
        worker=WorkerBook(bars=3, signals=4, executed=3, rejected=1, position=Decimal(4)),
        gateway=GatewayBook(receipts=4, rejections=1),
        fills=FILLS,
        performance=measure(Decimal(100_000), CLOSES, FILLS),
    )


def _holds(changed: SessionOutcome, delivered: int = 3) -> list[bool]:
    return [check.holds for check in check_books((changed,), PUBLISHED, delivered)]


def test_books_that_agree_pass_every_check() -> None:
    checks = check_books((_outcome(),), PUBLISHED, 3)
    assert [check.holds for check in checks] == [True, True, True]
    assert checks[0].text == "signals 4 = gateway receipts 4 = trades 3 + rejections 1"
    assert checks[2].text == "bars published 3 = delivered 3; handed to sessions 3 of 3"


def test_a_signal_that_never_reached_the_gateway_fails_the_first_check() -> None:
    changed = replace(_outcome(), gateway=GatewayBook(receipts=3, rejections=0))
    assert _holds(changed)[0] is False


def test_a_trade_without_a_receipt_fails_the_first_check() -> None:
    changed = replace(_outcome(), fills=(*FILLS, FILLS[0]))
    assert _holds(changed)[0] is False


def test_an_answer_that_the_worker_never_got_fails_the_second_check() -> None:
    changed = replace(_outcome(), worker=WorkerBook(3, 4, executed=2, rejected=1, position=Decimal(4)))
    assert _holds(changed) == [True, False, True]


def test_a_position_that_the_trades_do_not_explain_fails_the_second_check() -> None:
    changed = replace(_outcome(), worker=WorkerBook(3, 4, executed=3, rejected=1, position=Decimal(5)))
    assert _holds(changed) == [True, False, True]


def test_a_bar_that_was_not_delivered_fails_the_third_check() -> None:
    changed = replace(_outcome(), worker=WorkerBook(2, 4, executed=3, rejected=1, position=Decimal(4)))
    assert _holds(changed) == [True, True, False]
    assert _holds(_outcome(), delivered=2) == [True, True, False]


def test_errors_that_cancel_out_in_the_sums_are_found_and_named() -> None:
    more = replace(_outcome(), gateway=GatewayBook(receipts=5, rejections=1))
    less = replace(_outcome(), gateway=GatewayBook(receipts=3, rejections=1), strategy="mock")
    first = check_books((more, less), PUBLISHED, 3)[0]
    assert first.text.startswith("signals 8 = gateway receipts 8 = trades 6 + rejections 2")
    assert first.text.endswith("(not so for sma_cross IBM, mock IBM)")
    assert not first.holds


def test_the_row_of_a_session_says_what_it_earned() -> None:
    assert _outcome().describe() == {
        "session_id": "one",
        "strategy": "sma_cross",
        "symbol": "IBM",
        "bars": 3,
        "signals": 4,
        "executed": 3,
        "rejected": 1,
        "position": 4.0,
        "realised": 200.0,
        "unrealised": -40.0,
        "profit": 160.0,
        "max_drawdown": round(40 / 100_200, 6),
    }


def test_totals_are_sums_over_the_sessions() -> None:
    total = add_up([_outcome(), _outcome()])
    assert (total.signals, total.receipts, total.trades, total.rejections) == (8, 8, 6, 2)
    assert total.profit == Decimal(320)


def test_a_portfolio_whose_books_agree_passes_its_check() -> None:
    check = check_portfolio(PORTFOLIO, GatewayBook(receipts=9, rejections=1), trades=8)
    assert check.holds
    assert check.text.startswith("the portfolio: orders 9 = gateway receipts 9 = trades 8 + rejections 1")


@pytest.mark.parametrize(
    ("portfolio", "receipts", "trades"),
    [
        (PORTFOLIO, 8, 8),
        (PORTFOLIO, 9, 9),
        (replace(PORTFOLIO, status="active"), 9, 8),
        (replace(PORTFOLIO, cash_flow=Decimal(1_235)), 9, 8),
    ],
    ids=["an order never arrived", "a trade too many", "it still runs", "fills that are not its profit"],
)
def test_a_portfolio_whose_books_differ_fails_its_check(
    portfolio: PortfolioOutcome, receipts: int, trades: int
) -> None:
    assert not check_portfolio(portfolio, GatewayBook(receipts, rejections=1), trades).holds
