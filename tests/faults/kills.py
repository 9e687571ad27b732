"""kill -9 of the worker at random moments under load: what was recorded is executed, once."""

import time
from dataclasses import dataclass
from threading import Event

from tests.faults import measures
from tests.faults.experiment import Terms
from tests.faults.result import Result
from tests.faults.stage import open_stage

SYMBOLS = [f"SYM{number}" for number in range(5)]
SESSIONS = 10
INTERVAL = 0.02
MOMENTS = (0.05, 0.6)
_never = Event()


@dataclass(frozen=True)
class WorkerKill:
    """Kills the worker while sessions decide on every bar, and starts it again."""

    name: str
    promise: str
    idempotent: bool
    rounds: int = 100

    def run(self, terms: Terms) -> Result:
        """Kill in every round; in the end every row must be executed."""
        result = Result(self.name, self.promise, terms.rounds)
        with open_stage(terms.databases.new(), idempotent=self.idempotent) as stage:
            stage.host("decides", SYMBOLS, [f"s{number}" for number in range(SESSIONS)])
            with stage.feed.flowing(SYMBOLS, INTERVAL):
                for _ in range(terms.rounds):
                    _never.wait(terms.chance.uniform(*MOMENTS))
                    killed = time.monotonic()
                    stage.kill_worker()
                    stage.start_worker()
                    result.recover.append(measures.recover(stage, killed))
            result.broken += measures.inexact_sessions(stage)
            result.figures["settled in s"] = measures.settle(stage, 60)
            result.expect_nothing_lost(measures.tally(stage), crashed=True)
            tally = result.tally
            result.expect(
                tally.executed == tally.decided - tally.not_recorded, "a signal with a row was not executed"
            )
            result.figures["repeated posts"] = stage.gateway.repeats
        return result


EXPERIMENTS = (
    WorkerKill(
        "kill-9",
        "After a kill -9 every signal with a row is executed once, by reading back.",
        idempotent=False,
    ),
    WorkerKill(
        "kill-9-idempotent",
        "After a kill -9 every signal with a row is executed once, by its id.",
        idempotent=True,
    ),
)
