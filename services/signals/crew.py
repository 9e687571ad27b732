"""The threads that carry signals: a few, and more of them while all are held up.

A few threads are the best for a gateway that answers. But one that leaves some sessions without an answer
would soon hold up every thread, and all other sessions with them: one hanging request is as long as
GATEWAY_TIMEOUT. So whenever every thread has been at one and the same task for a while, as many more are
started, up to a bound; those that are not needed any more end.
"""

import time
from collections.abc import Callable
from threading import Event, Lock, Thread

import structlog

# A thread is held up that has been at one task for so long. Seconds.
PATIENCE = 0.1
# A spare thread ends when for so long there was always one without a task. Seconds.
SPARE_SECONDS = 30.0

log = structlog.get_logger(__name__)


class Hand:
    """One thread of a crew; `busy_since` is when it began its task (monotonic), None while it has none."""

    __slots__ = ("busy_since", "thread")

    def __init__(self, work: Callable[["Hand"], None], name: str) -> None:
        self.busy_since: float | None = None
        self.thread = Thread(target=work, args=(self,), name=name, daemon=True)


class Crew:
    """From `size` to `most` threads, each in `work` with itself as a hand, which returns when it is to end.

    `work` says of its hand when it takes up a task and puts it down, and asks whether it may leave. `stop` is
    set when all are to end.
    """

    def __init__(
        self,
        work: Callable[[Hand], None],
        size: int,
        most: int,
        stop: Event,
        *,
        spare_seconds: float = SPARE_SECONDS,
    ) -> None:
        self._work = work
        self._spare_seconds = spare_seconds
        self._size = size
        self._most = max(size, most)
        self._stop = stop
        self._hands: tuple[Hand, ...] = ()
        self._pressed = Event()
        self._pressed_at = 0.0
        self._lock = Lock()
        self._relief = Thread(target=self._relieve, name="relief", daemon=True)

    def __len__(self) -> int:
        """How many threads there are."""
        return len(self._hands)

    def start(self) -> None:
        """Start the threads. Once in the life of a crew."""
        self._hire(self._size)
        if self._most > self._size:
            self._relief.start()

    def join(self, deadline: float) -> None:
        """Wait for the end of every thread, until `deadline` (monotonic seconds) at the latest."""
        self._pressed.set()
        with self._lock:
            threads = [hand.thread for hand in self._hands]
        for thread in (*threads, self._relief):
            if thread.ident is not None:
                thread.join(max(deadline - time.monotonic(), 0.0))

    def take_up(self, hand: Hand) -> None:
        """Note that a hand begins a task."""
        hand.busy_since = time.monotonic()
        if all(each.busy_since is not None for each in self._hands):
            self._pressed_at = hand.busy_since
            if not self._pressed.is_set():
                self._pressed.set()

    def may_leave(self, hand: Hand) -> bool:
        """Whether a hand that finds nothing to do is not needed any more; the crew forgets it then."""
        if len(self._hands) <= self._size or time.monotonic() < self._pressed_at + self._spare_seconds:
            return False
        with self._lock:
            idle = sum(each.busy_since is None for each in self._hands)
            if len(self._hands) <= self._size or idle <= 1:
                return False
            self._hands = tuple(each for each in self._hands if each is not hand)
        return True

    def _hire(self, count: int) -> None:
        with self._lock:
            if self._stop.is_set():
                return
            for _ in range(count):
                hand = Hand(self._work, f"courier-{len(self._hands)}")
                self._hands = (*self._hands, hand)
                hand.thread.start()

    def _relieve(self) -> None:
        """Double the threads each time that all are held up, so that the others do not wait for long."""
        while True:
            self._pressed.wait()
            self._pressed.clear()
            if self._stop.wait(PATIENCE):
                return
            begun = [hand.busy_since for hand in self._hands]
            if None in begun or len(begun) >= self._most:
                continue
            if max(filter(None, begun)) <= time.monotonic() - PATIENCE:
                self._hire(min(len(begun), self._most - len(begun)))
                log.info("courier_relieved", threads=len(self._hands))
            self._pressed.set()  # and look again
