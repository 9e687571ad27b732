"""Lanes, against a model that is too simple to be wrong."""

import math
from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.signals.delivery import Delivery
from services.signals.lanes import STALE_TIMERS_KEPT, Lanes
from services.signals.outbox import OutboxEntry
from tests.sample_signals import make_signal

KEYS = ["a", "b", "c", "d"]


def make_delivery(key: str) -> Delivery:
    return Delivery(
        OutboxEntry(
            signal=make_signal(key),
            received_at=0.0,
            expires_at=math.inf,
            created_at=datetime(2026, 1, 28, tzinfo=UTC),
        )
    )


class LanesAgainstAModel(RuleBasedStateMachine):
    """The model keeps a list per session, and for each head where it is and until when."""

    @initialize()
    def begin(self) -> None:
        self.lanes = Lanes()
        self.now = 0.0
        self.queued: dict[str, list[Delivery]] = {key: [] for key in KEYS}
        self.taken: dict[str, Delivery] = {}
        self.asleep: dict[str, float] = {}
        self.parked: set[str] = set()
        self.passed_over: dict[str, int] = {}

    @property
    def ready(self) -> set[str]:
        due = {key for key, until in self.asleep.items() if until <= self.now}
        return {
            key
            for key in KEYS
            if self.queued[key] and key not in self.taken and (key not in self.asleep or key in due)
        }

    @rule(key=st.sampled_from(KEYS))
    def add(self, key: str) -> None:
        delivery = make_delivery(key)
        self.queued[key].append(delivery)
        self.lanes.add(delivery)

    @rule()
    def take(self) -> None:
        ready = self.ready
        delivery = self.lanes.take(self.now)
        if delivery is None:
            assert not ready
            return
        key = delivery.session_key
        assert key in ready
        assert delivery is self.queued[key][0], "a session's signals keep their order"
        self.taken[key] = delivery
        self.asleep.pop(key, None)
        self.parked.discard(key)
        self.passed_over.pop(key, None)
        for other in ready - {key}:
            self.passed_over[other] = self.passed_over.get(other, 0) + 1
            assert self.passed_over[other] < len(KEYS), "no lane is starved"

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.taken)))
        self.lanes.finish(self.taken.pop(key))
        self.queued[key].pop(0)

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), seconds=st.sampled_from([0.0, 1.0, 2.0, 5.0]), park=st.booleans())
    def put_aside(self, data: st.DataObject, seconds: float, park: bool) -> None:  # noqa: FBT001 — drawn
        key = data.draw(st.sampled_from(sorted(self.taken)))
        delivery = self.taken.pop(key)
        self.asleep[key] = self.now + seconds
        if park:
            self.parked.add(key)
            self.lanes.park(delivery, self.now + seconds)
        else:
            self.lanes.wait(delivery, self.now + seconds)

    @rule()
    def release(self) -> None:
        self.lanes.release()
        for key in self.parked:
            del self.asleep[key]
        self.parked.clear()

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def knows_when_to_look_again(self) -> None:
        due = self.lanes.next_due()
        if self.ready:
            assert due <= self.now
        else:
            assert due == min(self.asleep.values(), default=math.inf)

    @invariant()
    def keeps_no_lane_without_signals(self) -> None:
        assert len(self.lanes) == sum(bool(queued) for queued in self.queued.values())

    def teardown(self) -> None:
        if not hasattr(self, "lanes"):
            return
        for delivery in self.taken.values():
            self.lanes.finish(delivery)
            self.queued[delivery.session_key].pop(0)
        while (delivery_left := self.lanes.take(math.inf)) is not None:
            assert delivery_left is self.queued[delivery_left.session_key].pop(0)
            self.lanes.finish(delivery_left)
        assert not any(self.queued.values()), "nothing is lost"
        assert len(self.lanes) == 0


LanesAgainstAModel.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestLanesAgainstAModel = LanesAgainstAModel.TestCase


def test_timers_of_an_outage_that_comes_and_goes_do_not_pile_up() -> None:
    lanes = Lanes()
    lanes.add(make_delivery("a"))
    for _ in range(10_000):
        delivery = lanes.take(0.0)
        assert delivery is not None
        lanes.park(delivery, 30.0)
        lanes.release()
    assert len(lanes._timers) <= 2 + STALE_TIMERS_KEPT  # noqa: SLF001 — memory is not seen from outside


def test_the_followers_of_a_head_are_those_behind_it() -> None:
    lanes = Lanes()
    first, second, third, other = (make_delivery(key) for key in "aaab")
    for delivery in (first, second, third, other):
        lanes.add(delivery)
    assert lanes.take(0.0) is first
    assert lanes.followers(first) == [second, third]
