"""The processes of the engine, as their parent sees them: what each does, since when, and if it hangs."""

import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing import connection
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from services.history.engine.plan import RunPlan
from services.history.engine.process import Setting, Task, decode_result, work
from services.history.engine.result import RunResult, SymbolReport

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

LOOK_SECONDS = 0.25
START_SECONDS = 30.0
END_SECONDS = 5.0
MOST_LOST = 5
GIVEN_UP = f"its runs before took too long or ended their process, {MOST_LOST} in a row: not tried"

context = multiprocessing.get_context("spawn")  # nothing of this process is in them, no thread and no lock


class Hand:
    """One process and what it has to do. `pipe` gives one result for each run of its task, in order."""

    def __init__(self, setting: Setting) -> None:
        self._seconds = setting.options.seconds
        ours, theirs = context.Pipe()
        self.pipe: Connection = ours
        self.process: BaseProcess = context.Process(target=work, args=(theirs, setting), daemon=True)
        self.process.start()
        theirs.close()
        self._task: Task | None = None
        self._due = 0.0
        self._extra = START_SECONDS

    @property
    def is_busy(self) -> bool:
        """Whether it has a task."""
        return self._task is not None

    @property
    def is_late(self) -> bool:
        """Whether the run under way takes longer than it may."""
        return self._task is not None and monotonic() > self._due

    def give(self, task: Task) -> bool:
        """Hand a task to it; false where it is not there any more."""
        self._task = task
        self._due = monotonic() + self._seconds + self._extra
        try:
            self.pipe.send_bytes(msgspec.msgpack.encode(task))
        except OSError:
            return False
        return True

    def result(self) -> RunResult:
        """Take the next result. Raises EOFError or OSError where the process has ended."""
        result = decode_result(self.pipe.recv_bytes())
        task = self._task
        left = () if task is None else task.runs[1:]
        self._task = Task(task.slice, left) if task is not None and left else None
        self._due = monotonic() + self._seconds
        self._extra = 0.0
        return result

    def give_up(self, reason: str) -> tuple[RunResult | None, Task | None]:
        """End the process; return its run under way as failed, and what of its task is still to be done."""
        self.end()
        if (task := self._task) is None:
            return None, None
        first, *left = task.runs
        failed = _failed(task, first, reason, self._seconds)
        return failed, Task(task.slice, tuple(left)) if left else None

    def ended(self) -> str:
        """Say how the process ended, which nobody asked it to."""
        self.process.join(END_SECONDS)
        code = self.process.exitcode
        return (
            f"its process ended by signal {-code}" if code and code < 0 else f"its process ended with {code}"
        )

    def end(self) -> None:
        """End the process, whatever it does."""
        with suppress(OSError):
            self.pipe.close()
        self.process.kill()
        self.process.join(END_SECONDS)


class Crew:
    """So many processes, kept busy. One that hangs or dies costs the run that it was at, and is replaced.

    A strategy that does so five times and never ends a run in between is given up: what is left of it fails
    at once, so that one that hangs everywhere does not cost its time for every symbol.
    """

    def __init__(self, setting: Setting, size: int) -> None:
        self._setting = setting
        self._size = size
        self._hands: list[Hand] = []
        self._lost: Counter[str] = Counter()
        self._given_up: list[RunResult] = []

    def results(self, tasks: Iterable[Task], stop: Event) -> Iterator[RunResult | None]:
        """Give each result as it comes, None where nothing came for a while; at a stop, no more of them."""
        waiting = iter(tasks)
        again: list[Task] = []
        try:
            while not stop.is_set():
                self._hand_out(waiting, again)
                while self._given_up:
                    yield self._given_up.pop()
                busy = [hand for hand in self._hands if hand.is_busy]
                if not busy:
                    return
                ready = connection.wait([hand.pipe for hand in busy], LOOK_SECONDS)
                for hand in busy:
                    if hand.pipe in ready or hand.is_late:
                        yield self._take(hand, again, answered=hand.pipe in ready)
                if not ready:
                    yield None
        finally:
            for hand in self._hands:
                hand.end()
            self._hands.clear()

    def _hand_out(self, waiting: Iterator[Task], again: list[Task]) -> None:
        idle = [hand for hand in self._hands if not hand.is_busy]
        while idle or len(self._hands) < self._size:
            task = self._next(waiting, again)
            if task is None:
                return
            hand = idle.pop() if idle else self._new_hand()
            if not hand.give(task):
                again.append(task)
                self._hands.remove(hand)
                hand.end()

    def _next(self, waiting: Iterator[Task], again: list[Task]) -> Task | None:
        """Return the next task without what is given up; None where there is none."""
        while (task := again.pop() if again else next(waiting, None)) is not None:
            left = tuple(run for run in task.runs if self._lost[run.strategy.name] < MOST_LOST)
            self._given_up.extend(_failed(task, run, GIVEN_UP, 0.0) for run in task.runs if run not in left)
            if left:
                return Task(task.slice, left)
        return None

    def _new_hand(self) -> Hand:
        hand = Hand(self._setting)
        self._hands.append(hand)
        return hand

    def _take(self, hand: Hand, again: list[Task], *, answered: bool) -> RunResult | None:
        if answered:
            try:
                result = hand.result()
            except (EOFError, OSError):
                reason = hand.ended()
            else:
                self._lost[result.strategy] = self._lost[result.strategy] + 1 if result.hung else 0
                return result
        else:
            reason = f"it took longer than {self._setting.options.seconds:g} s"
        failed, left = hand.give_up(reason)
        self._hands.remove(hand)
        if left is not None:
            again.append(left)
        if failed is not None:
            self._lost[failed.strategy] += 1
        return failed


def _failed(task: Task, run: RunPlan, reason: str, seconds: float) -> RunResult:
    return RunResult(
        run_id=run.run_id,
        data_hash=run.data_hash,
        strategy=run.strategy.name,
        report=SymbolReport(symbol=task.slice.symbol),
        status="failed",
        reason=reason,
        seconds=seconds,
    )
