"""What follows the end of a host, and what is left out for one that falls behind."""

from collections import deque
from datetime import timedelta

from models.market_data import Trade
from services.sandbox.conversation import conflate
from services.sandbox.ending import Cause, Ending
from services.sandbox.strikes import judge
from services.sandbox.told import Told
from tests.sealed_hosts import NOON, bar

CRASH, FORBIDDEN = Ending(Cause.CRASHED, "it crashed"), Ending(Cause.FORBIDDEN_CALL, "it looked")


def test_the_third_strike_in_ten_minutes_is_the_last() -> None:
    struck = deque([NOON])
    assert judge(CRASH, struck, NOON + timedelta(minutes=9)).pause == 5.0
    assert judge(CRASH, struck, NOON + timedelta(minutes=9, seconds=59)).pause is None


def test_strikes_are_forgotten_after_ten_minutes() -> None:
    struck = deque([NOON, NOON + timedelta(seconds=1)])
    assert judge(CRASH, struck, NOON + timedelta(minutes=11)).pause == 1.0


def test_a_forbidden_call_has_no_second_time_and_a_lost_zygote_counts_against_nobody() -> None:
    assert judge(FORBIDDEN, deque(), NOON).pause is None
    struck = deque([NOON, NOON])
    assert judge(Ending(Cause.ZYGOTE_LOST, "gone"), struck, NOON).pause == 1.0
    assert len(struck) == 2


def test_a_host_behind_gets_the_newest_trade_of_each_symbol_and_every_bar() -> None:
    trades = [Trade(symbol, 1.0 + number, 1.0, NOON, "trade") for number in range(3) for symbol in ("A", "B")]
    told = [Told(trades[0]), Told(bar(1)), *map(Told, trades[1:5]), Told(bar(2)), Told(trades[5])]
    queue = deque(told)
    assert conflate(queue) == 4
    assert [each.event for each in queue] == [bar(1), trades[4], bar(2), trades[5]]
