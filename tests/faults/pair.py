"""A second worker beside the one of a stage, told to run the same sessions."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Protocol

from tests.acceptance.conftest import LiveWorker
from tests.faults.journals import Hosted
from tests.faults.stage import Stage
from tests.support import eventually, free_port, running_process

PATIENCE_SECONDS = 60.0


class Place(Protocol):
    """Where a worker runs, ends, and is started again."""

    @property
    def worker(self) -> LiveWorker:
        """The process that runs now."""

    def start_worker(self) -> None:
        """Start a process."""

    def kill_worker(self) -> None:
        """End the process with SIGKILL."""


class Second:
    """The place of the second worker; `redis_url` may lead it another way than the first."""

    def __init__(self, stage: Stage, redis_url: str | None = None) -> None:
        self._stage = stage
        self._settings = {**stage.settings, "REDIS_URL": redis_url or stage.valkey.url}
        self._process = ExitStack()
        self._worker: LiveWorker | None = None

    @property
    def worker(self) -> LiveWorker:
        """The process that runs now."""
        assert self._worker is not None, "no second worker was started"
        return self._worker

    def start_worker(self) -> None:
        """Start a process with the settings of the stage."""
        port = free_port()
        environment = {**self._settings, "HEALTH_PORT": str(port)}
        process = self._process.enter_context(
            running_process([sys.executable, "main.py"], environment, ending_seconds=0)
        )
        self._worker = LiveWorker(process, port, self._stage.valkey.url)
        self._process.callback(self._worker.redis.close)
        self._worker.wait_ready()

    def kill_worker(self) -> None:
        """End the process with SIGKILL."""
        self.worker.process.kill()
        self.worker.process.wait()
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.close()


class Pair:
    """Two places for workers on one stage."""

    def __init__(self, stage: Stage, second: Second) -> None:
        self._stage = stage
        self.places: Sequence[Place] = (stage, second)

    def host(self, strategy: str, symbols: Sequence[str], count: int) -> None:
        """Start so many sessions, each in the worker that takes it, every second one with a row."""
        for number in range(count):
            session = Hosted(f"s{number}", symbols[number % len(symbols)], strategy)
            self._stage.sessions[session.key] = session
            if number % 2:
                self._stage.add_row(session)
            self._stage.worker.control("subscribe", session.symbol, strategy, session.key)
        self.settled()

    def other(self, place: Place) -> Place:
        """The place that is not this one."""
        return self.places[1] if self.places[0] is place else self.places[0]

    def settled(self) -> None:
        """Wait until each session runs in one of the workers and stands by in the other."""

        def found() -> bool:
            held = [states(place) for place in self.places]
            return all(
                sorted(each.get(key, "gone") for each in held) == ["RUNNING", "STANDBY"]
                for key in self._stage.sessions
            )

        eventually(found, PATIENCE_SECONDS, "each session runs once")

    def runs_all(self, place: Place) -> None:
        """Wait until the worker of this place runs every session."""
        eventually(
            lambda: running(place) == self._stage.sessions.keys(), PATIENCE_SECONDS, "the other runs all"
        )

    def move_to(self, place: Place) -> None:
        """Have every session run at this place, and stand by at the other."""
        self.other(place).kill_worker()
        self.runs_all(place)
        self.other(place).start_worker()
        self.settled()


def running(place: Place) -> set[str]:
    """The keys of the sessions that run, as the worker of this place says."""
    return {key for key, state in states(place).items() if state == "RUNNING"}


def states(place: Place) -> dict[str, str]:
    """The states of all sessions by their keys; of a worker that does not answer, none."""
    answer = place.worker.get("/sessions")
    return {each["key"]: each["state"] for each in answer.json()} if answer.ok else {}


@contextmanager
def open_pair(stage: Stage, redis_url: str | None = None) -> Iterator[Pair]:
    """Start a second worker."""
    second = Second(stage, redis_url)
    try:
        second.start_worker()
        yield Pair(stage, second)
    finally:
        second.close()


@contextmanager
def frozen(place: Place) -> Iterator[None]:
    """Stop the process of a place for the time of the block."""
    pid = place.worker.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
