"""Positions, orders in flight and days: what the book reserves, books and releases."""

from datetime import time, timedelta
from decimal import Decimal

import pytest

from models.risk import Approved, Reduced, Refused, Rule
from services.risk.account import Account, Books
from services.risk.book import RiskBook
from services.risk.day_watch import DayWatch
from tests.sample_risk import Now, ended, filled, limits, make_book, order


def exposure(book: RiskBook) -> Decimal:
    with book.holdings() as held:
        return held.tally.exposure


def value(book: RiskBook, account: str = "main") -> Decimal:
    with book.holdings() as held:
        return held.value(account)


def in_flight(book: RiskBook) -> set[str]:
    with book.holdings() as held:
        return set(held.orders)


def test_orders_in_flight_count_at_once_so_that_a_burst_cannot_pass_a_limit() -> None:
    book = make_book()
    verdicts = [book.judge(order(quantity="100"), "main") for _ in range(4)]
    assert [type(each) for each in verdicts] == [Approved, Approved, Approved, Refused]
    assert exposure(book) == 30_000


def test_buys_and_sells_in_flight_count_each_at_its_worst() -> None:
    book = make_book(held={("s1", "AAPL"): Decimal(100)})
    buy, sell = order(quantity="200"), order("SELL", quantity="350")
    assert isinstance(book.judge(buy, "main"), Approved)
    assert exposure(book) == 30_000
    assert isinstance(book.judge(sell, "main"), Approved)  # 250 short at the most
    assert exposure(book) == 30_000
    book.settle(ended(buy, "rejected"))
    assert exposure(book) == 25_000
    book.settle(filled(sell))
    assert exposure(book) == 25_000
    assert value(book) == 100_000 + 10_000


def test_what_is_filled_before_any_price_is_heard_of_is_worth_what_it_cost() -> None:
    book, given = RiskBook(DayWatch(limits(), time(0)), 10), order(quantity="300")
    book.remember({})
    book.open("main", Account(limits=limits()), Books(cash=Decimal(100_000), in_flight=(given,)))
    book.settle(filled(given))
    book.look()
    assert value(book) == 100_000
    assert [news.day.halted for news in book.news if news.day.halted] == []


@pytest.mark.parametrize("status", ["rejected", "refused", "expired"])
def test_what_was_not_executed_is_in_flight_no_more(status: str) -> None:
    book, given = make_book(), order()
    book.judge(given, "main")
    book.settle(ended(given, status))
    assert (exposure(book), value(book)) == (Decimal(0), Decimal(100_000))
    assert not in_flight(book)


def test_what_is_unknown_stays_in_flight_until_somebody_finds_out() -> None:
    book, given = make_book(), order()
    book.judge(given, "main")
    book.settle(ended(given, "unknown"))
    assert exposure(book) == 1_000
    book.settle(filled(given))
    assert exposure(book) == 1_000
    assert not in_flight(book)
    book.settle(filled(given))  # told twice, counted once
    assert exposure(book) == 1_000


def test_parts_are_booked_as_they_come_and_the_report_books_the_rest() -> None:
    book, given = make_book(), order(quantity="10", price="101")
    book.judge(given, "main")
    assert exposure(book) == 1_010
    book.fill(given.order_id, Decimal(4), Decimal(100))
    assert exposure(book) == 400 + 6 * 101
    book.settle(filled(given, quantity="7", price="100.5", fee=1.25))
    assert exposure(book) == 700
    assert value(book) == 100_000 - Decimal("3.5") - Decimal("1.25")


def test_a_position_is_valued_at_every_price_that_comes() -> None:
    book = make_book(held={("s1", "AAPL"): Decimal(10), ("s2", "AAPL"): Decimal(-4)})
    assert (exposure(book), value(book)) == (Decimal(1_400), Decimal(100_600))
    book.marks.tell("AAPL", 110.5, 0.0)
    assert (exposure(book), value(book)) == (Decimal(1_547), Decimal(100_663))


def test_positions_of_two_owners_are_added_up_whatever_their_side() -> None:
    lots = {("s1", "AAPL"): Decimal(200), ("s2", "AAPL"): Decimal(-100)}
    book = make_book(lots, account=Account(limits=limits(), fixed_value=Decimal(100_000)))
    assert isinstance(book.judge(order(owner="s3"), "main"), Refused)
    assert isinstance(book.judge(order("SELL", "100"), "main"), Approved)
    # Another owner's position is not his to close.
    assert isinstance(book.judge(order("SELL", "100", owner="s3"), "main"), Refused)


def test_an_order_that_is_in_flight_is_not_reserved_twice() -> None:
    book, given = make_book(), order()
    book.judge(given, "main")
    verdict = book.judge(given, "main")
    assert isinstance(verdict, Refused)
    assert exposure(book) == 1_000


def test_nothing_is_approved_before_it_is_known_who_was_halted() -> None:
    now = Now()
    book = RiskBook(DayWatch(limits(), time()), 10, now.clock, now.now)
    book.marks.tell("AAPL", 100.0, now.seconds)
    book.open("main", Account(limits=limits()), Books(cash=Decimal(100_000)))
    verdict = book.judge(order(), "main")
    assert isinstance(verdict, Refused)
    assert verdict.rule is Rule.MISSING_DATA
    book.remember({})
    assert isinstance(book.judge(order(), "main"), Approved)
    assert isinstance(book.judge(order(), "somebody else"), Refused)


def test_a_price_that_is_no_number_takes_the_last_one_away() -> None:
    book = make_book(held={("s1", "AAPL"): Decimal(10)})
    book.marks.tell("AAPL", float("nan"), 0.0)
    verdict = book.judge(order(), "main")
    assert isinstance(verdict, Refused)
    assert verdict.rule is Rule.MISSING_DATA
    assert value(book) == 101_000  # what is held is valued at the last that was known
    assert isinstance(book.judge(order("SELL"), "main"), Approved)


def test_only_so_many_orders_go_out_within_any_second() -> None:
    now = Now()
    book = make_book(now=now, most_per_second=2)

    def passes(at: float, quantity: str = "1") -> bool:
        now.seconds = at
        return isinstance(book.judge(order(quantity=quantity), "main"), Approved)

    assert [passes(1_000.0), passes(1_000.5), passes(1_000.9)] == [True, True, False]
    assert [passes(1_001.0), passes(1_001.4), passes(1_001.5)] == [True, False, True]


def test_a_loss_over_the_limit_halts_until_the_next_day() -> None:
    now = Now()
    book = make_book(now=now, held={("s1", "AAPL"): Decimal(200)}, max_position=Decimal(1))
    book.marks.tell("AAPL", 70.0, now.seconds)  # 6,000 of 120,000: the limit
    assert isinstance(book.judge(order(price="70"), "main"), Approved)
    book.marks.tell("AAPL", 69.99, now.seconds)
    verdict = book.judge(order(price="69.99"), "main")
    assert isinstance(verdict, Refused)
    assert verdict.rule is Rule.DAILY_LOSS
    book.marks.tell("AAPL", 200.0, now.seconds)  # back again: it stays halted
    assert isinstance(book.judge(order(price="200"), "main"), Refused)
    assert isinstance(book.judge(order("SELL", "200"), "main"), Approved)
    now.moment += timedelta(days=1)
    book.look()
    assert isinstance(book.judge(order(price="200"), "main"), Approved)


def test_the_day_is_told_of_once_when_it_is_near_and_once_when_it_is_halted() -> None:
    book = make_book(held={("s1", "AAPL"): Decimal(100)})
    for price in (70.0, 62.0, 61.5, 61.0, 44.0, 40.0, 30.0):
        book.marks.tell("AAPL", price, 0.0)
        book.look()
    told = [(each.account, each.day.halted is not None) for each in book.news]
    assert told == [("main", False), ("*", False), ("main", True), ("*", True)]


def test_where_nothing_is_measured_nothing_is_near_a_limit() -> None:
    book = make_book()
    book.close("main")
    book.look()
    assert not book.news


def test_a_resume_lifts_the_halt_and_counts_losses_anew() -> None:
    book = make_book(held={("s1", "AAPL"): Decimal(200)})
    book.marks.tell("AAPL", 60.0, 1_000.0)
    book.look()
    assert isinstance(book.judge(order(price="60"), "main"), Refused)
    assert book.resume("other") == []
    assert book.resume(None) == ["main", "*"]
    assert isinstance(book.judge(order(price="60"), "main"), Approved)
    book.marks.tell("AAPL", 31.0, 1_000.0)
    book.look()
    assert isinstance(book.judge(order(price="31"), "main"), Refused)


def test_everything_is_halted_when_all_together_lost_too_much() -> None:
    book = make_book(
        max_position=Decimal(1), max_daily_loss_amount=Decimal(3_000), prices={"AAPL": "100", "MSFT": "100"}
    )
    loose = limits(max_daily_loss_amount=Decimal(10**6), max_daily_loss=Decimal(1))
    for name in ("e1", "e2"):
        lots = {(name, "MSFT"): Decimal(100)}
        book.open(name, Account(limits=loose), Books(cash=Decimal(50_000), held=lots))
    book.look()
    book.marks.tell("MSFT", 85.0, 0.0)
    book.look()
    assert isinstance(book.judge(order(), "main"), Approved)  # 3,000: the limit
    book.marks.tell("MSFT", 84.99, 0.0)
    book.look()
    assert isinstance(book.judge(order(), "main"), Refused)
    assert isinstance(book.judge(order(owner="e1"), "e1"), Refused)


def test_one_account_that_is_halted_halts_no_other() -> None:
    book = make_book(prices={"AAPL": "100", "MSFT": "100"})
    lots = {("e1", "MSFT"): Decimal(100)}
    book.open(
        "e1", Account(limits=limits(max_daily_loss=Decimal("0.01"))), Books(cash=Decimal(10_000), held=lots)
    )
    book.look()
    book.marks.tell("MSFT", 97.0, 0.0)
    book.look()
    assert isinstance(book.judge(order(owner="e1"), "e1"), Refused)
    assert isinstance(book.judge(order(), "main"), Approved)


def test_what_a_closed_account_lost_today_is_not_forgotten() -> None:
    book = make_book(max_daily_loss_amount=Decimal(3_000), prices={"AAPL": "100", "MSFT": "100"})
    loose = limits(max_daily_loss_amount=Decimal(10**6), max_daily_loss=Decimal(1))
    book.open("e1", Account(limits=loose), Books(cash=Decimal(50_000), held={("e1", "MSFT"): Decimal(100)}))
    book.look()
    book.marks.tell("MSFT", 69.0, 0.0)
    book.close("e1")
    book.look()
    assert isinstance(book.judge(order(), "main"), Refused)


def test_a_halt_survives_a_restart() -> None:
    now = Now()
    book = make_book(now=now, held={("s1", "AAPL"): Decimal(200)})
    book.marks.tell("AAPL", 60.0, now.seconds)
    book.look()
    with book.holdings() as held:
        day = held.accounts["main"].day
    assert day is not None
    restarted = make_book({("s1", "AAPL"): Decimal(200)}, {"AAPL": "60"}, now=now, days={"main": day})
    assert isinstance(restarted.judge(order(price="60"), "main"), Refused)
    now.moment += timedelta(days=1)
    restarted.look()
    assert isinstance(restarted.judge(order(price="60"), "main"), Approved)


def test_sessions_are_measured_by_a_fixed_value() -> None:
    book = make_book(account=Account(limits=limits(), fixed_value=Decimal(10_000)))
    verdict = book.judge(order(quantity="100"), "main")
    assert isinstance(verdict, Reduced)
    assert verdict.quantity == 30
