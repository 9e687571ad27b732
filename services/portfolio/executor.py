"""The portfolio thread: it owns every execution, and takes them one step after the other.

What the others want of it (reports, commands) they put into its letters. Each step is written in one
transaction before anything of it leaves; after any trouble with the database everything is read again, as at
the start: what is written is true, and orders go out under the ids that they have there.
"""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Event, Thread
from typing import NamedTuple
from uuid import UUID

import structlog
from msgspec.structs import replace

from models.errors import ConfigError, StorageConflict, StorageUnavailable
from models.execution import ExecutionReport, PartialFill
from models.portfolio_execution import Execution, ExecutionStatus
from services.portfolio.execution_parts import Command, ExecutorParts
from services.portfolio.execution_steps import ExecutionSteps
from services.portfolio.execution_table import ExecutedElsewhere
from services.telemetry.logs import Throttle

# Between two looks at the prices; reports and commands are taken at once. Seconds.
PASS_SECONDS = 0.1
# Between two looks at executions of which no price came: times pass, too.
LOOK_SECONDS = 1.0
# Between comparisons with what the tables know of open orders and of new executions.
COMPARE_SECONDS = 5.0
RETRY_SECONDS = 1.0
LOG_SECONDS = 30.0

log = structlog.get_logger(__name__)


class Letter(NamedTuple):
    """What another thread wants done with an execution; `done` is told whether that changed it."""

    key: str
    matter: ExecutionReport | PartialFill | Command
    words: str = ""
    done: Future[bool] | None = None

    def close(self, *, applied: bool) -> None:
        """Tell whoever waits."""
        if self.done is not None:
            self.done.set_result(applied)


class PortfolioExecutor:
    """Runs the executions of the database. Public methods may be called from every thread, and never wait."""

    def __init__(self, parts: ExecutorParts) -> None:
        self._parts = parts
        self.steps = ExecutionSteps(parts)
        self._executions: dict[str, Execution] = {}
        self._letters: deque[Letter] = deque()
        self._throttle = Throttle(LOG_SECONDS)
        self._is_read = False
        self._looks_at = 0.0
        self._compares_at = 0.0
        self.reason: str | None = "executions are not read yet"
        self._holds = False
        self._wake = Event()
        self._stop = Event()
        self._idle = Event()
        self._thread = Thread(target=self._run, name="portfolio", daemon=True)

    def start(self) -> None:
        """Begin: every execution that has not ended goes on where it was."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """End the thread, executions stay as they are; false when it did not end within `timeout` seconds."""
        self._stop.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        self._parts.table.close()
        return not self._thread.is_alive()

    def wind_down(self, timeout: float) -> bool:
        """Close the positions of every execution; false when some are left after `timeout` seconds."""
        self._idle.clear()
        for key in list(self._executions):
            self._post(Letter(key, "stop", "the worker was stopped"))
        return not self._executions or self._idle.wait(timeout)

    def hold(self) -> None:
        """Decide nothing any more; what comes of orders is still booked."""
        self._holds = True

    def look_for_new(self) -> None:
        """Have executions looked for that were written by others."""
        self._compares_at = 0.0
        self._wake.set()

    def report(self, key: str, report: ExecutionReport) -> None:
        """Take what became of an order."""
        self._post(Letter(key, report))

    def filled(self, fill: PartialFill) -> None:
        """Take what was filled of an order that goes on."""
        order_id = UUID(fill.signal_id)
        for execution in self.executions():
            if order_id in execution.open_orders:
                self._post(Letter(execution.key, fill))

    def command(self, key: str, command: Command, words: str) -> Future[bool] | None:
        """Take a command; None where no execution of this id is under way.

        What is returned is done once the command is written down: true, or false where it does not apply.
        """
        if key not in self._executions:
            return None
        done: Future[bool] = Future()
        self._post(Letter(key, command, words, done))
        return done

    def owns(self, key: str) -> bool:
        """Whether signals of this key are of an execution."""
        return key in self._executions

    def executions(self) -> list[Execution]:
        """Return the executions that have not ended."""
        return list(self._executions.copy().values())

    def _post(self, letter: Letter) -> None:
        self._letters.append(letter)
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._pass()
                self.reason = None
                if not self._letters:
                    self._wake.wait(PASS_SECONDS)
                self._wake.clear()
            except (StorageUnavailable, ConfigError) as error:
                if isinstance(error, ExecutedElsewhere):
                    self._leave()
                self._trouble(str(error))
                self._throttle.log(log.warning, "executions_wait", key="storage", reason=str(error))
            except Exception as error:  # the loop of a thread: what is wrong with one step must not end all
                self._trouble(f"internal error: {error}")
                log.exception("portfolio_thread_failed")

    def _leave(self) -> None:
        """Measure executions no more that another worker has taken over."""
        gone, self._executions = self._executions, {}
        for execution in gone.values():
            self.steps.forget(execution)

    def _trouble(self, reason: str) -> None:
        self.reason, self._is_read = reason, False
        self._stop.wait(RETRY_SECONDS)

    def _pass(self) -> None:
        now = time.monotonic()
        if not self._is_read or now >= self._compares_at:
            self._compare()
        touched = self._take_letters()
        if self._holds:
            return
        looks = now >= self._looks_at
        if looks:
            self._looks_at = now + LOOK_SECONDS
        news = self._parts.monitor.news()
        for key, execution in list(self._executions.items()):
            if looks or key in touched or not news.isdisjoint(execution.config.symbols):
                self._keep(_contained(execution, self.steps.step))

    def _compare(self) -> None:
        """Read what is new, after trouble everything; bring what the outbox knows of open orders."""
        known = self._executions if self._is_read else {}
        found = {each.key: each for each in self.steps.read(known)}
        for key, gone in self._executions.items():
            if key not in known and key not in found:
                self.steps.forget(gone)  # ended elsewhere while this worker could not see it
        self._executions = {**known, **found}
        self._is_read = True
        for execution in list(self._executions.values()):
            if execution.open_orders:
                self._keep(_contained(execution, self.steps.reconcile))
        self._compares_at = time.monotonic() + COMPARE_SECONDS

    def _take_letters(self) -> set[str]:
        touched = set()
        while self._letters:
            letter = self._letters.popleft()
            execution = self._executions.get(letter.key)
            if execution is None:
                letter.close(applied=False)
                continue
            try:
                changed = _contained(execution, partial(self._take, letter))
            except StorageUnavailable:
                self._letters.appendleft(letter)  # once the executions are read again
                raise
            self._keep(changed)
            letter.close(applied=changed is not execution)
            touched.add(letter.key)
        return touched

    def _take(self, letter: Letter, execution: Execution) -> Execution:
        if isinstance(letter.matter, ExecutionReport):
            return self.steps.report(execution, letter.matter)
        if isinstance(letter.matter, PartialFill):
            return self.steps.filled_in_part(execution, letter.matter)
        return self.steps.command(execution, letter.matter, letter.words)

    def _keep(self, execution: Execution) -> None:
        if not execution.status.ended:
            self._executions[execution.key] = execution
            return
        self._executions.pop(execution.key, None)
        if not self._executions:
            self._idle.set()


def _contained(execution: Execution, step: Callable[[Execution], Execution]) -> Execution:
    """Take a step; what the tables refuse of it, or nobody can compute, halts this execution alone."""
    try:
        return step(execution)
    except (StorageConflict, ArithmeticError) as error:
        log.exception("execution_step_refused", execution=execution.key)
        return replace(execution, status=ExecutionStatus.ERROR, reason=f"not recorded: {error}")
