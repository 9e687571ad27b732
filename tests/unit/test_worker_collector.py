"""The collector of the running worker: what stays is not looked at, what lost connections leave goes soon."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from models.signal import Decision
from services.sandbox.told import Told
from services.worker import keep_what_is_here
from tests.sealed_hosts import bar


class Connection:
    """Something that refers to itself, as connections with their callbacks do."""

    def __init__(self) -> None:
        self.lost = self.close

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture(autouse=True)
def _usual_collector() -> Iterator[None]:
    usual = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*usual)


def test_what_was_connected_for_long_goes_soon_after_it_is_lost() -> None:
    stays = [[number] for number in range(400_000)]
    keep_what_is_here()
    connection = Connection()
    for generation in (0, 1):
        gc.collect(generation)  # it was there for long
    left = weakref.ref(connection)
    del connection
    assert left() is not None
    kept = [[number] for number in range(45_000)]
    assert left() is None
    del kept, stays


def test_a_look_at_everything_is_a_look_at_little() -> None:
    keep_what_is_here()
    assert gc.get_freeze_count() > 10_000
    assert len(gc.get_objects()) < 1_000


def test_what_is_kept_by_the_hundred_thousand_is_not_looked_at() -> None:
    decision = Decision(action="BUY", price=1.0, quantity=1.0)
    told = Told(bar(1), booked=(decision,))
    assert not gc.is_tracked(told)
    assert not gc.is_tracked(told.event)
    assert not gc.is_tracked(decision)
