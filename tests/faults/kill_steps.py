"""kill -9 of the worker at every step of a send: what was recorded is executed, once, wherever it stood."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.faults import measures
from tests.faults.databases import unfinished_signals
from tests.faults.experiment import Terms
from tests.faults.hindrances import executed_and_silent, failing, locked
from tests.faults.result import Result
from tests.faults.stage import Stage, open_stage
from tests.gateway_stub import HANG, Answer, Received
from tests.support import eventually

SYMBOL = "STEP"
SESSIONS = 5

Reach = Callable[[Stage], AbstractContextManager[None]]
"""Publishes a bar and brings its signals to the step; the block kills the worker; the end clears the way."""


@contextmanager
def before_row(stage: Stage) -> Iterator[None]:
    """Decided, and its row not yet written."""
    with locked(stage, "signals"):
        stage.feed.publish(SYMBOL)
        eventually(lambda: stage.worker.metric("worker_outbox_pending") == SESSIONS)
        yield


@contextmanager
def after_row(stage: Stage) -> Iterator[None]:
    """Its row written, and no request begun that anybody heard of."""
    stage.gateway.go_away()
    stage.feed.publish(SYMBOL)
    eventually(lambda: unfinished_signals(stage.database_url) == SESSIONS)
    yield
    stage.gateway.come_back()


@contextmanager
def after_post_executed(stage: Stage) -> Iterator[None]:
    """The request arrived and was executed, and its reply is never sent."""
    executed = len(stage.gateway.executions)
    with failing(stage, executed_and_silent(stage)):
        stage.feed.publish(SYMBOL)
        eventually(lambda: len(stage.gateway.executions) == executed + SESSIONS)
        yield


@contextmanager
def after_post_lost(stage: Stage) -> Iterator[None]:
    """The request arrived and was forgotten."""
    arrived = len(stage.gateway.arrivals)
    with failing(stage, lambda received: HANG if received.method == "POST" else None):
        stage.feed.publish(SYMBOL)
        eventually(lambda: len(stage.gateway.arrivals) == arrived + SESSIONS)
        yield


@contextmanager
def before_mark(stage: Stage) -> Iterator[None]:
    """Executed and answered, and its row says nothing of it yet."""
    told = stage.worker.metric("worker_signals_total", "executed") + SESSIONS
    held: list[str] = []

    def fault(received: Received) -> Answer | None:
        if received.method == "GET":
            return None
        held.append(received.signal_id)
        return Answer(201, stage.gateway.execute(received).body, delay=0.3)

    with failing(stage, fault):
        stage.feed.publish(SYMBOL)
        eventually(lambda: len(held) == SESSIONS)
        with locked(stage, "signals"):
            eventually(lambda: stage.worker.metric("worker_signals_total", "executed") == told)
            yield


@dataclass(frozen=True)
class KillAtStep:
    """Kills the worker when the signals of every session stand at one step, and starts it again."""

    name: str
    promise: str
    reach: Reach
    idempotent: bool
    recorded: bool = True
    rounds: int = 10

    def run(self, terms: Terms) -> Result:
        """Kill at the step in every round; in the end every row must be executed, once."""
        result = Result(self.name, self.promise, terms.rounds)
        settings = {"GATEWAY_TIMEOUT": "60", "GATEWAY_THREADS": str(SESSIONS)}
        with open_stage(terms.databases.new(), settings, idempotent=self.idempotent) as stage:
            stage.host("decides", [SYMBOL], [f"s{number}" for number in range(SESSIONS)])
            for _ in range(terms.rounds):
                with self.reach(stage):
                    killed = time.monotonic()
                    stage.kill_worker()
                stage.start_worker()
                eventually(lambda: stage.running() >= stage.sessions.keys(), 30, "the sessions run again")
                result.recover.append(measures.recover(stage, killed))
                result.figures["settled in s"] = measures.settle(stage, 60)
            result.broken += measures.inexact_sessions(stage)
            result.expect_nothing_lost(measures.tally(stage), crashed=not self.recorded)
            tally = result.tally
            result.expect(
                tally.executed == tally.decided - tally.not_recorded, "a signal with a row was not executed"
            )
            reached = terms.rounds * SESSIONS
            result.expect(tally.decided == reached, f"{tally.decided} decisions, not {reached}")
            result.figures["repeated posts"] = stage.gateway.repeats
        return result


def _both_gateways(
    step: str, promise: str, reach: Reach, *, recorded: bool = True
) -> tuple[KillAtStep, KillAtStep]:
    return (
        KillAtStep(
            f"kill-{step}", f"{promise}, by reading back.", reach, idempotent=False, recorded=recorded
        ),
        KillAtStep(
            f"kill-{step}-idempotent", f"{promise}, by its id.", reach, idempotent=True, recorded=recorded
        ),
    )


EXPERIMENTS = (
    *_both_gateways(
        "before-row",
        "A signal that dies before its row was never sent, and whatever has a row is executed once",
        before_row,
        recorded=False,
    ),
    *_both_gateways("after-row", "A signal killed after its row is executed once", after_row),
    *_both_gateways(
        "after-post", "A signal killed after it was executed is not executed again", after_post_executed
    ),
    *_both_gateways(
        "lost-post", "A signal killed after its request was lost is executed once", after_post_lost
    ),
    *_both_gateways(
        "before-mark", "A signal killed between its reply and its mark is not executed again", before_mark
    ),
)
