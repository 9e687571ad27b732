"""The leases in a real Redis: each session has one owner, and numbers only grow."""

import threading

import pytest
import redis

from models.errors import StorageUnavailable
from services.embedded import EmbeddedValkey
from services.leases.table import BATCH, FENCE, LEASES, WORKER, LeaseTable, batches

KEYS = [f"session-{number}" for number in range(1_000)]
LONG, SHORT = 60.0, 0.1


def table(redis_url: str, name: str, seconds: float = LONG) -> LeaseTable:
    return LeaseTable(redis_url, name, f"said by {name}", seconds)


def claim(of: LeaseTable, *keys: str, may_take: bool = True, highest: int = 0) -> dict[str, str]:
    """The owner of each session, once it was asked for."""
    return {grant.key: grant.owner for grant in of.claim([(key, may_take) for key in keys], highest).grants}


def number(of: LeaseTable, key: str, highest: int = 0) -> int:
    """The number of a session that this worker has or gets."""
    [grant] = of.claim([(key, True)], highest).grants
    assert grant.owner == of.instance
    return grant.fence


def expire(redis_url: str, name: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.delete(WORKER + name) == 1


def test_of_two_that_race_for_a_thousand_sessions_each_session_has_one_owner(redis_url: str) -> None:
    tables = [table(redis_url, "one"), table(redis_url, "two")]
    got: list[dict[str, str]] = [{}, {}]
    begin = threading.Barrier(2)

    def race(racer: int) -> None:
        order = KEYS if racer else KEYS[::-1]
        got[racer] |= claim(tables[racer], order[0])
        begin.wait()
        for start in range(0, len(order), 20):
            got[racer] |= claim(tables[racer], *order[start : start + 20])

    threads = [threading.Thread(target=race, args=(racer,)) for racer in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got[0] == got[1]
    assert got[0].keys() == set(KEYS)
    assert set(got[0].values()) == {"one", "two"}  # each has at least where it began


def test_no_more_is_asked_at_once_than_the_server_may_be_held_up_for() -> None:
    cut = list(batches(KEYS))
    assert [key for batch in cut for key in batch] == KEYS
    assert max(map(len, cut)) == BATCH


def test_another_has_to_wait_until_the_owner_is_no_more(redis_url: str) -> None:
    one, two = table(redis_url, "one"), table(redis_url, "two")
    assert claim(one, "s1") == claim(two, "s1") == {"s1": "one"}
    expire(redis_url, "one")
    [grant] = two.claim([("s1", False)], 0).grants
    assert (grant.owner, grant.former) == ("two", "one")


def test_an_owner_that_does_not_renew_is_no_more_after_its_time(redis_url: str) -> None:
    one, two = table(redis_url, "one", SHORT), table(redis_url, "two")
    claim(one, "s1")
    threading.Event().wait(2 * SHORT)
    assert claim(two, "s1") == {"s1": "two"}


def test_claiming_twice_changes_nothing(redis_url: str) -> None:
    one = table(redis_url, "one")
    assert number(one, "s1") == number(one, "s1")


def test_numbers_grow_with_every_change_of_owner(redis_url: str) -> None:
    one, two = table(redis_url, "one"), table(redis_url, "two")
    numbers = []
    for owner in (one, two) * 3:
        numbers.append(number(owner, "s1"))
        expire(redis_url, owner.instance)
    assert numbers == sorted(set(numbers))


def test_numbers_are_exact_and_never_given_twice(redis_url: str) -> None:
    one = table(redis_url, "one")
    grants = one.claim([(key, True) for key in KEYS[:BATCH]], 0).grants
    assert len({grant.fence for grant in grants}) == BATCH
    assert all(grant.fence == grant.since for grant in grants)
    with redis.Redis.from_url(redis_url) as client:
        assert int(client.get(FENCE) or 0) == max(grant.fence for grant in grants)


def test_numbers_grow_over_a_loss_of_all_data(redis_url: str) -> None:
    one = table(redis_url, "one")
    before = number(one, "s1")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert number(one, "s1") > before


def test_numbers_grow_beyond_what_a_worker_has_seen_even_if_the_clock_was_set_back(redis_url: str) -> None:
    seen = 9_007_199_254_000_000
    assert number(table(redis_url, "one"), "s1", highest=seen) > seen


def test_what_nobody_holds_is_left_alone_where_it_may_not_be_taken(redis_url: str) -> None:
    assert claim(table(redis_url, "one"), "s1", may_take=False) == {"s1": ""}


def test_the_answer_tells_what_other_owners_say_of_themselves(redis_url: str) -> None:
    one, two = table(redis_url, "one"), table(redis_url, "two")
    claim(one, "s1", "s2")
    assert two.claim([("s1", True), ("s2", True), ("s3", True)], 0).others == {"one": "said by one"}


def test_a_renewal_confirms_what_is_held_and_names_who_took_the_rest(redis_url: str) -> None:
    one, two = table(redis_url, "one"), table(redis_url, "two")
    held = [("s1", number(one, "s1")), ("s2", number(one, "s2"))]
    expire(redis_url, "one")
    claim(two, "s2")
    assert [(grant.key, grant.owner) for grant in one.renew(held, 0)] == [("s1", "one"), ("s2", "two")]


def test_a_renewal_after_a_loss_of_data_enters_the_lease_anew_with_a_higher_number(redis_url: str) -> None:
    one, two = table(redis_url, "one"), table(redis_url, "two")
    since = number(one, "s1")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    [grant] = one.renew([("s1", since)], since)
    assert (grant.owner, grant.since) == ("one", since)
    assert grant.fence > since
    assert claim(two, "s1") == {"s1": "one"}


def test_of_two_that_both_held_a_session_when_data_was_lost_the_later_one_has_it(redis_url: str) -> None:
    one, two = table(redis_url, "one"), table(redis_url, "two")
    earlier = number(one, "s1")
    expire(redis_url, "one")
    later = number(two, "s1")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert [grant.owner for grant in one.renew([("s1", earlier)], earlier)] == ["one"]
    assert [grant.owner for grant in two.renew([("s1", later)], later)] == ["two"]
    assert [grant.owner for grant in one.renew([("s1", earlier)], later)] == ["two"]


def test_what_is_released_is_free_and_what_another_holds_cannot_be_released(redis_url: str) -> None:
    one, two = table(redis_url, "one"), table(redis_url, "two")
    claim(one, "s1", "s2")
    two.release(["s1"])
    assert claim(two, "s1") == {"s1": "one"}
    one.release(["s1"])
    assert claim(two, "s1", "s2") == {"s1": "two", "s2": "one"}


def test_who_leaves_lets_go_of_everything_at_once(redis_url: str) -> None:
    one, two = table(redis_url, "one"), table(redis_url, "two")
    claim(one, "s1")
    one.leave()
    assert claim(two, "s1") == {"s1": "two"}


def test_only_what_was_seen_is_buried(redis_url: str) -> None:
    one, two = table(redis_url, "one"), table(redis_url, "two")
    claim(one, "s1")
    two.bury("one", "said by another")
    assert claim(two, "s1") == {"s1": "one"}
    two.bury("one", "said by one")
    assert claim(two, "s1") == {"s1": "two"}


def test_leases_of_those_that_are_no_more_are_swept_away(redis_url: str) -> None:
    one, two = table(redis_url, "one"), table(redis_url, "two")
    claim(one, "s1")
    claim(two, "s2")
    expire(redis_url, "one")
    assert two.sweep() == 1
    with redis.Redis.from_url(redis_url) as client:
        assert client.hkeys(LEASES) == [b"s2"]


def test_a_redis_that_is_away_is_an_error_and_scripts_are_there_again_after_a_restart(
    own_valkey: EmbeddedValkey,
) -> None:
    one = table(own_valkey.url, "one")
    claim(one, "s1")
    own_valkey.kill()
    with pytest.raises(StorageUnavailable):
        claim(one, "s1")
    own_valkey.restart()
    assert claim(one, "s1") == {"s1": "one"}
