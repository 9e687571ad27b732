"""The thread that speaks with all sealed hosts: it writes, reads and watches, and never waits for one."""

import os
import selectors
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Protocol

import structlog

from services.sandbox.long_calls import Host, LongCalls
from services.sandbox.newcomers import Newcomers
from services.telemetry.health import Heartbeat

TICK_SECONDS = 0.005
MOST_TICK_SECONDS = 0.1
LOOKS_SHARE = 10
IDLE_SECONDS = 1.0
LATE_SECONDS = 0.25
WAKE_BYTES = 4096
SHARE_LOOK_SECONDS = 10.0

log = structlog.get_logger(__name__)


class Talk(Protocol):
    """What the thread serves: one host's channel. All of it is called on the thread."""

    @property
    def wire(self) -> Host | None:
        """The host that runs, whose calls may have to take turns; None where there is none."""

    @property
    def is_known(self) -> bool:
        """Whether it may be told something at any time; else its host is a newcomer."""

    def fileno(self) -> int:
        """Return the descriptor of the channel."""

    def pump(self) -> None:
        """Send what waits."""

    def write(self) -> None:
        """Go on with what was not written whole."""

    def read(self) -> None:
        """Take what there is to be read."""

    def look(self, now: float, *, is_late: bool) -> None:
        """Hold the host to its budgets while it is busy; where the look is late, only begin to count."""

    def look_at_share(self, now: float) -> None:
        """Hold the host to its share of a core."""


class Exchange:
    """Serves any number of talks. `schedule` and `call` may be called by any thread, and do not wait.

    In `busy` are, on the thread alone, those whose hosts have something to answer.
    """

    def __init__(self) -> None:
        self.heartbeat = Heartbeat()
        self.busy: set[Talk] = set()
        self._selector = selectors.DefaultSelector()
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        self._selector.register(self._reader, selectors.EVENT_READ)
        self._due: deque[Talk] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._talks: dict[int, Talk] = {}
        self._long_calls = LongCalls()
        self._newcomers: Newcomers[Talk] = Newcomers()
        self._asleep = False
        self._stopping = False
        self._looked_at = self._shared_at = 0.0
        self._look_after = TICK_SECONDS
        self._thread = Thread(target=self._run, name="sandbox-io", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self.heartbeat.beat()
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread."""
        self._stopping = True
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        if not self._thread.is_alive():  # only now: who wakes the thread must not meet a closed descriptor
            self._selector.close()
            os.close(self._reader)
            os.close(self._writer)

    def schedule(self, talk: Talk) -> None:
        """Have `talk.pump()` called soon."""
        self._due.append(talk)
        if self._asleep:
            self._wake()

    def call(self, function: Callable[[], None]) -> None:
        """Have a function called on the thread soon."""
        self._calls.append(function)
        self._wake()

    def enter(self, talk: Talk) -> None:
        """Serve a talk from now on. On the thread."""
        self._talks[talk.fileno()] = talk
        self._selector.register(talk.fileno(), selectors.EVENT_READ, talk)

    def leave(self, descriptor: int) -> None:
        """Serve a talk no more, before its channel is closed. On the thread."""
        if (talk := self._talks.pop(descriptor, None)) is not None:
            self._selector.unregister(descriptor)
            self._newcomers.leave(talk)

    def wants_to_write(self, talk: Talk, *, wants: bool) -> None:
        """Have `talk.write()` called when its channel takes more, or no more. On the thread."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wants else 0)
        if self._talks.get(talk.fileno()) is talk:
            self._selector.modify(talk.fileno(), events, talk)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # it is woken already
            os.write(self._writer, b"\0")

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._turn()
            except Exception:  # whatever one host brings about, the others are served
                log.exception("sandbox_io_failed")

    def _turn(self) -> None:
        self.heartbeat.beat()
        self._serve_due()
        self._asleep = True
        waits = not self._due and not self._calls
        hurries = self.busy or self._newcomers
        ready = self._selector.select((TICK_SECONDS if hurries else IDLE_SECONDS) if waits else 0)
        self._asleep = False
        for key, events in ready:
            if key.data is None:
                with suppress(BlockingIOError):
                    os.read(self._reader, WAKE_BYTES)
                continue
            talk: Talk = key.data
            if events & selectors.EVENT_WRITE:
                talk.write()
            if events & selectors.EVENT_READ and self._talks.get(key.fd) is talk:
                talk.read()
                self._release(talk)
        now = time.monotonic()
        self._due.extend(self._newcomers.next(now))
        self._look(now)

    def _serve_due(self) -> None:
        while self._calls:
            self._calls.popleft()()
        while self._due:
            talk = self._due.popleft()
            if talk.is_known or self._newcomers.may_begin(talk, time.monotonic()):
                talk.pump()
                self._release(talk)

    def _release(self, talk: Talk) -> None:
        """Let the next newcomer begin where this one is none any more, or has nothing to answer."""
        if self._newcomers and (talk.is_known or talk not in self.busy):
            self._newcomers.leave(talk)

    def _look(self, now: float) -> None:
        if now - self._looked_at >= self._look_after:
            is_late = now - self._looked_at > LATE_SECONDS  # the machine held us up, so perhaps them too
            self._looked_at, computed = now, time.thread_time()
            for talk in list(self.busy):
                talk.look(now, is_late=is_late)
            self._long_calls.look([talk.wire for talk in self.busy if talk.wire is not None])
            # Where very many are busy, no more than a tenth of the time is spent on looks.
            self._look_after = pause_after(time.thread_time() - computed)
        if now - self._shared_at >= SHARE_LOOK_SECONDS:
            self._shared_at = now
            for talk in list(self._talks.values()):
                talk.look_at_share(now)


def pause_after(computed: float) -> float:
    """Return the seconds until the next look after one that computed for so long."""
    return min(max(TICK_SECONDS, LOOKS_SHARE * computed), MOST_TICK_SECONDS)
