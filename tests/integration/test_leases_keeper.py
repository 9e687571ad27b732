"""Keepers of several workers before one Redis: who is told of what, and when a lease changes hands."""

import threading

import redis
from msgspec.structs import replace

from models.lease import Standing
from services.embedded import EmbeddedValkey
from services.leases.process import this_process
from services.leases.table import LEASES, WORKER
from tests.integration.leasing import ELSEWHERE, Leasing, ended_process, leasing
from tests.support import eventually


def expire(redis_url: str, worker: Leasing) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.delete(WORKER + worker.name)


def forget_everything(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()


def test_what_one_holds_the_other_is_told_the_owner_of(redis_url: str) -> None:
    with leasing(redis_url, ELSEWHERE, ELSEWHERE) as (one, two):
        assert one.claim("s1", "s2") == {}
        assert two.claim("s1", "s3") == {"s1": one.name}
        assert (one.holds(), two.holds()) == ({"s1", "s2"}, {"s3"})


def test_what_is_held_is_claimed_again_without_asking(own_valkey: EmbeddedValkey) -> None:
    with leasing(own_valkey.url, ELSEWHERE) as [one]:
        one.claim("s1")
        own_valkey.kill()
        assert one.claim("s1") == {}


def test_a_dead_predecessor_on_this_machine_is_succeeded_at_once(redis_url: str) -> None:
    with leasing(redis_url, ended_process(), this_process()) as (dead, successor):
        dead.claim(*map(str, range(1_000)))
        assert successor.claim(*map(str, range(1_000))) == {}
        assert len(successor.holds()) == 1_000


def test_who_lives_on_this_machine_is_not_taken_for_dead(redis_url: str) -> None:
    with leasing(redis_url, this_process(), this_process()) as (one, two):
        one.claim("s1")
        assert two.claim("s1") == {"s1": one.name}


def test_what_stands_by_is_won_when_its_owner_is_no_more(redis_url: str) -> None:
    with leasing(redis_url, ELSEWHERE, ELSEWHERE) as (one, two):
        one.claim("s1")
        two.standing_by = {"s1"}
        assert two.beat() == ["confirmed"]
        expire(redis_url, one)
        assert two.beat() == ["won", "confirmed"]
        assert two.holds() == {"s1"}


def test_who_comes_back_too_late_is_told_what_it_lost_and_sends_none_of_it(redis_url: str) -> None:
    with leasing(redis_url, ELSEWHERE, ELSEWHERE) as (one, two):
        one.claim("s1", "s2")
        number = one.holdings.number("s1")
        expire(redis_url, one)
        two.claim("s1")
        assert one.beat() == [f"lost s1 to {two.name}", "confirmed"]
        assert one.holdings.standing("s1", number) is Standing.LOST
        assert one.holdings.standing("s2", one.holdings.number("s2")) is Standing.HELD
        assert two.holdings.number("s1") > number


def test_after_a_loss_of_data_the_owner_keeps_what_it_held(redis_url: str) -> None:
    with leasing(redis_url, ELSEWHERE, ELSEWHERE) as (one, two):
        one.claim("s1")
        two.standing_by = {"s1"}
        number = one.holdings.number("s1")
        forget_everything(redis_url)
        assert two.beat() == ["confirmed"]  # its first look
        assert one.beat() == ["confirmed"]
        assert two.beat() == two.beat() == ["confirmed"]
        assert one.holdings.standing("s1", number) is Standing.HELD


def test_after_redis_was_away_an_owner_that_was_cut_off_as_well_keeps_what_it_held(
    own_valkey: EmbeddedValkey,
) -> None:
    with leasing(own_valkey.url, ELSEWHERE, ELSEWHERE) as (one, two):
        one.claim("s1")
        two.standing_by = {"s1"}
        two.beat()
        expire(own_valkey.url, one)  # as after a pause of the server that was longer than a lease
        two.keeper.reason = "Redis does not answer"
        assert two.beat() == one.beat() == ["confirmed"]
        assert two.beat() == ["confirmed"]
        assert (one.holds(), two.holds()) == ({"s1"}, set())


def test_a_worker_that_stops_takes_nothing_over_and_gives_nothing_back(redis_url: str) -> None:
    one = Leasing(redis_url, seconds=1.0)
    one.claim("s1")
    one.beat()
    one.keeper.retire()
    one.standing_by, one.needed = {"s2"}, set()
    with redis.Redis.from_url(redis_url) as client:
        for _ in range(3):
            threading.Event().wait(0.2)
            one.beat()
        assert client.hkeys(LEASES) == [b"s1"]


def test_what_nobody_holds_is_taken_at_the_second_look(redis_url: str) -> None:
    with leasing(redis_url, ELSEWHERE) as [one]:
        one.standing_by = {"s1"}
        assert one.beat() == ["confirmed"]
        assert one.beat() == ["won", "confirmed"]


def test_what_is_wanted_is_taken_at_the_next_beat_where_nobody_holds_it(redis_url: str) -> None:
    with leasing(redis_url, ELSEWHERE, ELSEWHERE) as (one, two):
        one.claim("s1")
        two.holdings.want(["s1", "s2"])
        two.beat()
        assert two.holds() == {"s2"}


def test_what_is_needed_no_more_is_given_back_after_a_while(redis_url: str) -> None:
    one = Leasing(redis_url, seconds=0.3)
    one.claim("s1", "s2")
    one.beat()
    one.needed = {"s2"}
    with redis.Redis.from_url(redis_url) as client:
        eventually(lambda: one.beat() and client.hkeys(LEASES) == [b"s2"])
    assert one.holds() == {"s2"}


def test_what_was_never_needed_yet_is_kept_for_its_start(redis_url: str) -> None:
    one = Leasing(redis_url, seconds=0.1)
    one.keeper.claim(["s1"])
    one.beat()
    threading.Event().wait(0.1)
    one.beat()
    assert one.holds() == {"s1"}


def test_an_answer_that_came_late_counts_from_the_question(redis_url: str) -> None:
    moments = [0.0]

    def slow_clock() -> float:
        moments[0] += 4.0
        return moments[0]

    one = Leasing(redis_url, seconds=6.0, clock=slow_clock)
    one.claim("s1")  # asked at 4, so it is certain until 9
    number = one.holdings.number("s1")
    assert one.holdings.standing("s1", number) is Standing.HELD
    assert one.holdings.standing("s1", number) is Standing.UNCONFIRMED


def test_the_thread_keeps_a_lease_alive_and_leaves_it_at_the_end(redis_url: str) -> None:
    one, two = Leasing(redis_url, seconds=1.0), Leasing(redis_url)
    one.claim("s1")
    one.keeper.start()
    with redis.Redis.from_url(redis_url) as client:
        eventually(lambda: one.keeper.reason is None)
        expire(redis_url, one)
        eventually(lambda: client.exists(WORKER + one.name))
    one.keeper.stop(10)
    assert two.claim("s1") == {}


def test_while_redis_is_away_the_reason_is_told_and_afterwards_it_is_not(own_valkey: EmbeddedValkey) -> None:
    one = Leasing(own_valkey.url, seconds=0.6)
    one.claim("s1")
    one.keeper.start()
    eventually(lambda: one.keeper.reason is None)
    own_valkey.kill()
    eventually(lambda: one.keeper.reason is not None)
    number = one.holdings.number("s1")
    eventually(lambda: one.holdings.standing("s1", number) is Standing.UNCONFIRMED)
    own_valkey.restart()
    eventually(lambda: one.holdings.standing("s1", number) is Standing.HELD)
    assert one.keeper.reason is None
    one.keeper.stop(10)


def test_a_worker_whose_words_nobody_understands_lives_until_its_time_is_over(redis_url: str) -> None:
    with leasing(redis_url, replace(ELSEWHERE), ELSEWHERE) as (one, two):
        one.claim("s1")
        with redis.Redis.from_url(redis_url) as client:
            client.set(WORKER + one.name, "words of a later version")
        assert two.claim("s1") == {"s1": one.name}
