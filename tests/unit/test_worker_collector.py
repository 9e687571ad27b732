"""The collector of the running worker: what stays is not looked at, what lost connections leave goes soon."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from services.worker import keep_what_is_here


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
