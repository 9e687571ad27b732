"""What a worker knows of its own leases, by its own clock and the fencing numbers alone."""

from models.lease import UNLEASED, Standing
from services.leases.holdings import Holdings, lease_clock

UNTIL = 100.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def held(clock: Clock, fence: int = 7, since: int = 7) -> Holdings:
    holdings = Holdings(clock)
    holdings.hold("s1", fence, since, UNTIL)
    return holdings


def test_what_was_decided_under_a_confirmed_lease_may_be_sent() -> None:
    holdings = held(Clock())
    assert holdings.number("s1") == 7
    assert holdings.standing("s1", 7) is Standing.HELD


def test_at_the_end_of_its_time_a_lease_is_uncertain_until_it_is_confirmed() -> None:
    holdings = held(clock := Clock())
    clock.now = UNTIL
    assert holdings.standing("s1", 7) is Standing.UNCONFIRMED
    holdings.hold("s1", 7, 7, UNTIL + 1)
    assert holdings.standing("s1", 7) is Standing.HELD


def test_what_is_not_held_is_lost() -> None:
    holdings = held(Clock())
    assert holdings.standing("s2", 7) is Standing.LOST
    holdings.lose("s1")
    assert holdings.standing("s1", 7) is Standing.LOST
    assert "s1" not in holdings
    assert holdings.standing("s1", holdings.number("s1")) is Standing.LOST
    holdings.remember_lost({"s1"})
    assert holdings.standing("s1", holdings.number("s1")) is Standing.LOST


def test_what_never_had_a_lease_is_nobody_elses() -> None:
    holdings = held(Clock())
    assert holdings.number("s2") == UNLEASED
    assert holdings.standing("s2", UNLEASED) is Standing.HELD


def test_a_session_that_was_given_back_may_send_its_last_words() -> None:
    holdings = held(Clock())
    holdings.release("s1")
    assert holdings.standing("s1", holdings.number("s1")) is Standing.HELD


def test_what_was_decided_before_another_worker_held_the_session_stays_lost() -> None:
    holdings = held(Clock())
    holdings.lose("s1")
    holdings.hold("s1", 9, 9, UNTIL)
    assert holdings.standing("s1", 7) is Standing.LOST
    assert holdings.standing("s1", 9) is Standing.HELD


def test_a_lease_that_was_entered_anew_covers_what_was_decided_before() -> None:
    holdings = held(Clock())
    holdings.hold("s1", 9, 7, UNTIL)
    assert holdings.number("s1") == 9
    assert holdings.standing("s1", 7) is Standing.HELD
    assert holdings.since() == [("s1", 7)]


def test_only_what_is_certain_is_given_as_confirmed() -> None:
    holdings = held(clock := Clock())
    holdings.hold("s2", 8, 8, UNTIL + 1)
    assert holdings.confirmed(["s1", "s2", "s3"]) == {"s1": 7, "s2": 8}
    clock.now = UNTIL
    assert holdings.confirmed(["s1", "s2", "s3"]) == {"s2": 8}


def test_the_highest_number_ever_seen_is_kept() -> None:
    holdings = held(Clock(), fence=9)
    holdings.lose("s1")
    holdings.hold("s2", 4, 4, UNTIL)
    assert holdings.highest == 9


def test_what_is_added_is_counted_and_what_is_confirmed_is_not() -> None:
    holdings = held(Clock())
    before = holdings.changes
    holdings.hold("s1", 7, 7, UNTIL + 1)
    assert holdings.changes == before
    holdings.hold("s2", 8, 8, UNTIL)
    assert holdings.changes == before + 1


def test_the_clock_of_leases_goes_forward() -> None:
    first = lease_clock()
    assert lease_clock() >= first
