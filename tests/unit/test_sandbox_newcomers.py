"""Hosts that nobody knows yet: how many answer at once, who waits, and that nobody waits for ever."""

from services.sandbox.newcomers import PATIENCE_SECONDS, Newcomers

LATER = 2 * PATIENCE_SECONDS


def test_one_after_the_other_begins_in_the_order_in_which_they_came() -> None:
    newcomers = Newcomers[str](at_once=1)
    assert [newcomers.may_begin(each, 0.0) for each in "abc"] == [True, False, False]
    assert newcomers.next(0.0) == []
    newcomers.leave("a")
    assert newcomers.next(0.0) == ["b"]
    assert newcomers.may_begin("b", 0.0)
    newcomers.leave("b")
    assert newcomers.next(0.0) == ["c"]
    assert newcomers.may_begin("c", 0.0)
    newcomers.leave("c")
    assert not newcomers


def test_who_has_begun_goes_on() -> None:
    newcomers = Newcomers[str](at_once=1)
    assert [newcomers.may_begin("a", 0.0), newcomers.may_begin("a", 0.0)] == [True, True]


def test_who_takes_long_keeps_nobody_from_beginning() -> None:
    newcomers = Newcomers[str](at_once=2)
    assert [newcomers.may_begin(each, 0.0) for each in "abcd"] == [True, True, False, False]
    assert newcomers.next(PATIENCE_SECONDS) == []
    assert newcomers.next(LATER) == ["c", "d"]


def test_who_has_ended_while_it_waited_is_not_waited_for() -> None:
    newcomers = Newcomers[str](at_once=1)
    assert [newcomers.may_begin(each, 0.0) for each in "abc"] == [True, False, False]
    newcomers.leave("b")
    newcomers.leave("a")
    assert newcomers.next(0.0) == ["c"]


def test_who_comes_later_does_not_begin_before_those_who_wait() -> None:
    newcomers = Newcomers[str](at_once=1)
    assert [newcomers.may_begin(each, 0.0) for each in "abc"] == [True, False, False]
    newcomers.leave("a")
    assert [newcomers.may_begin(each, 0.0) for each in "dcb"] == [False, False, True]
    newcomers.leave("b")
    assert [newcomers.may_begin(each, 0.0) for each in "dc"] == [False, True]
    newcomers.leave("c")
    assert newcomers.next(0.0) == ["d"]
