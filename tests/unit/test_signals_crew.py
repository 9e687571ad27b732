"""The threads that carry signals: more while all are held up, and no more than are needed afterwards."""

import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Event

import pytest

from services.signals.crew import Crew, Hand
from tests.support import eventually

PATIENCE = 10.0
SPARE_SECONDS = 0.3


class Work:
    """A crew whose tasks are what a test puts: each held up until it is released."""

    def __init__(self, size: int, most: int) -> None:
        self.tasks: SimpleQueue[Event] = SimpleQueue()
        self._begun: list[Event] = []
        self._ended: list[Event] = []
        self.stop = Event()
        self.crew = Crew(self._work, size, most, self.stop, spare_seconds=SPARE_SECONDS)

    @property
    def at_work(self) -> int:
        """How many tasks are held up."""
        return len(self._begun) - len(self._ended)

    def put(self, *released: Event) -> None:
        for event in released:
            self.tasks.put(event)

    def _work(self, hand: Hand) -> None:
        while not self.stop.is_set():
            hand.busy_since = None
            try:
                released = self.tasks.get(timeout=0.02)
            except Empty:
                if self.crew.may_leave(hand):
                    return
                continue
            self.crew.take_up(hand)
            self._begun.append(released)
            released.wait(PATIENCE)
            self._ended.append(released)


@pytest.fixture
def make() -> Iterator[Callable[[int, int], Work]]:
    made: list[Work] = []

    def make(size: int, most: int) -> Work:
        work = Work(size, most)
        work.crew.start()
        made.append(work)
        return work

    yield make
    for work in made:
        work.stop.set()
        work.crew.join(time.monotonic() + PATIENCE)


def test_a_task_behind_those_that_hang_is_begun_all_the_same(make: Callable[[int, int], Work]) -> None:
    work, hang = make(2, 8), Event()
    work.put(*[hang] * 5)
    eventually(lambda: work.at_work == 5)
    assert len(work.crew) <= 8
    hang.set()


def test_there_are_never_more_threads_than_the_bound(make: Callable[[int, int], Work]) -> None:
    work, hang = make(2, 5), Event()
    work.put(*[hang] * 20)
    eventually(lambda: work.at_work == 5)
    Event().wait(0.3)  # three times its patience
    assert (work.at_work, len(work.crew)) == (5, 5)
    hang.set()
    eventually(work.tasks.empty)


@pytest.mark.parametrize("most", [1, 3])
def test_a_crew_without_room_stays_as_it_is(make: Callable[[int, int], Work], most: int) -> None:
    work, hang = make(3, most), Event()
    work.put(*[hang] * 4)
    eventually(lambda: work.at_work == 3)
    Event().wait(0.3)
    assert len(work.crew) == 3
    hang.set()


def test_threads_that_are_not_needed_any_more_end(make: Callable[[int, int], Work]) -> None:
    work, hang = make(2, 8), Event()
    work.put(*[hang] * 7)
    eventually(lambda: len(work.crew) == 8)
    hang.set()
    eventually(lambda: len(work.crew) == 2)


def test_while_some_still_hang_one_thread_more_is_kept_for_the_others(
    make: Callable[[int, int], Work],
) -> None:
    work, hang = make(2, 8), Event()
    work.put(*[hang] * 4)
    eventually(lambda: work.at_work == 4)
    eventually(lambda: len(work.crew) == 5)
    Event().wait(2 * SPARE_SECONDS)
    assert len(work.crew) == 5
    hang.set()


def test_a_crew_that_is_to_end_ends_with_its_spare_threads(make: Callable[[int, int], Work]) -> None:
    work, hang = make(1, 4), Event()
    work.put(*[hang] * 3)
    eventually(lambda: work.at_work == 3)
    work.stop.set()
    hang.set()
    work.crew.join(time.monotonic() + PATIENCE)
    assert work.at_work == 0
