"""The collector of the running worker: what stays is not looked at, what is lost goes in time."""

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from models.signal import Decision
from services.collector import Collector
from services.sandbox.told import Told
from tests.sealed_hosts import bar
from tests.support import eventually


class Connection:
    """Something that refers to itself, as connections with their callbacks do."""

    def __init__(self) -> None:
        self.lost = self.close

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def started() -> Iterator[Callable[[float], Collector]]:
    usual, collectors = gc.get_threshold(), []

    def start(least_seconds: float) -> Collector:
        collectors.append(Collector(least_seconds))
        collectors[-1].start()
        return collectors[-1]

    yield start
    for each in collectors:
        each.stop(10)
    gc.unfreeze()
    gc.set_threshold(*usual)


def lost_after_long() -> "weakref.ref[Connection]":
    connection = Connection()
    for generation in (0, 1):
        gc.collect(generation)
    return weakref.ref(connection)


def test_what_was_connected_for_long_goes_after_it_is_lost(started: Callable[[float], Collector]) -> None:
    started(0.01)
    left = lost_after_long()
    eventually(lambda: left() is None, 10, "it has gone")


def test_everything_is_looked_at_by_the_thread_alone(started: Callable[[float], Collector]) -> None:
    started(1_000.0)
    left = lost_after_long()
    kept = [[number] for number in range(400_000)]
    assert left() is not None
    del kept


def test_what_is_here_at_the_start_is_looked_at_no_more(started: Callable[[float], Collector]) -> None:
    started(1_000.0)
    assert gc.get_freeze_count() > 10_000
    assert len(gc.get_objects()) < 1_000


def test_a_look_that_took_long_is_not_repeated_soon() -> None:
    collector = Collector(60.0)
    assert collector.pause(0.0) == 60.0
    assert collector.pause(0.1) == 200.0
    assert collector.pause(5.0) == 900.0


def test_what_is_kept_by_the_hundred_thousand_is_not_looked_at() -> None:
    decision = Decision(action="BUY", price=1.0, quantity=1.0)
    told = Told(bar(1), booked=(decision,))
    assert not gc.is_tracked(told)
    assert not gc.is_tracked(told.event)
    assert not gc.is_tracked(decision)
