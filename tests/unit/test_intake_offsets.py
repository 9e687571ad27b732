"""How far a partition of Kafka may be committed."""

import pytest

from services.intake.kafka_offsets import Offsets


@pytest.fixture
def offsets() -> Offsets:
    offsets = Offsets()
    for offset in (5, 6, 8):  # 7 was a transaction's marker
        offsets.give(0, offset)
    return offsets


def test_what_is_done_waits_for_what_came_before_it(offsets: Offsets) -> None:
    offsets.finish(0, 6)
    assert offsets.take_due() == {}
    offsets.finish(0, 5)
    assert offsets.take_due() == {0: 7}
    offsets.finish(0, 8)
    assert offsets.take_due() == {0: 9}
    assert offsets.first_in_hand(0) is None


def test_a_commit_on_its_way_is_not_sent_again_unless_it_failed(offsets: Offsets) -> None:
    offsets.finish(0, 5)
    assert offsets.take_due() == {0: 6}
    assert offsets.take_due() == {}
    offsets.fail(0)
    assert offsets.take_due() == {0: 6}
    assert not offsets.settled
    offsets.confirm(0, 6)
    assert offsets.settled


def test_a_failure_that_is_told_late_does_not_take_back_a_newer_commit(offsets: Offsets) -> None:
    offsets.finish(0, 5)
    offsets.take_due()
    offsets.finish(0, 6)
    offsets.take_due()
    offsets.confirm(0, 7)
    offsets.fail(0)
    assert offsets.take_due() == {}


def test_a_partition_that_was_given_up_is_nobody_s_business(offsets: Offsets) -> None:
    offsets.finish(0, 5)
    offsets.give(1, 0)
    assert offsets.give_up([0, 2]) == 2
    assert not offsets.has(0, 6)
    assert offsets.has(1, 0)
    offsets.finish(0, 6)
    offsets.confirm(0, 7)
    offsets.fail(0)
    assert offsets.take_due() == {}


def test_a_partition_that_comes_back_starts_anew(offsets: Offsets) -> None:
    offsets.give_up([0])
    offsets.give(0, 5)
    assert offsets.has(0, 5)
    assert not offsets.has(0, 6)
    offsets.finish(0, 5)
    assert offsets.take_due() == {0: 6}
