"""A strategy freezes or crashes the whole process: the next one runs without it."""

import signal
import time
from dataclasses import dataclass

from tests.faults import measures
from tests.faults.experiment import Terms
from tests.faults.result import Result
from tests.faults.stage import Stage, open_stage
from tests.support import eventually

SYMBOL = "SHARED"
LISTENERS = 20
BARS = 25
FREEZE_SECONDS = 1.0
ENDING_SECONDS = 60.0
FATAL = """
import ctypes, itertools
from strategies.base_strategy import BaseStrategy

class Fatal(BaseStrategy):
    name = "fatal"

    def on_bar(self, bar):
        {on_bar}

    def on_trade(self, trade): pass
"""


@dataclass(frozen=True)
class FreezeFault:
    """One session runs `on_bar` as given here, which ends the process with a signal."""

    name: str
    promise: str
    on_bar: str
    ended_by: signal.Signals
    rounds: int = 1

    def run(self, terms: Terms) -> Result:
        """Let it freeze the worker among listeners, start the next worker, and bring nothing back by hand."""
        result = Result(self.name, self.promise, terms.rounds)
        settings = {"FREEZE_SECONDS": str(FREEZE_SECONDS), "HANDLER_DEADLINE_MAX_MS": "500"}
        for _ in range(terms.rounds):
            with open_stage(terms.databases.new(), settings) as stage:
                stage.settings["RUN_PATH"] = str(stage.journals.strategies.parent)
                code = FATAL.format(on_bar=self.on_bar)
                stage.journals.strategies.joinpath("fatal.py").write_text(code)
                stage.kill_worker()
                stage.start_worker()
                self._round(stage, result)
                result.expect_nothing_lost(measures.tally(stage), crashed=True)
        return result

    def _round(self, stage: Stage, result: Result) -> None:
        stage.host("listens", [SYMBOL], [f"listener{number}" for number in range(LISTENERS)])
        result.broken += measures.send(stage, [SYMBOL], BARS)
        stage.host("fatal", ["ALONE"], ["bad"])
        stage.ended.add("bad")
        struck = time.monotonic()
        stage.feed.publish("ALONE")
        ended = stage.worker.process.wait(ENDING_SECONDS)
        result.note_largest("seconds until it ended", time.monotonic() - struck)
        result.expect(ended == -self.ended_by, f"it ended with {ended}")
        stage.start_worker()
        result.recover.append(time.monotonic() - struck)
        state = eventually(lambda: stage.worker.sessions().get("bad", {}).get("state"), 10)
        result.figures["ended"] = str(state)
        result.expect(state == "QUARANTINED", f"the session that did it is {state}")
        stage.feed.publish("ALONE")
        result.broken += measures.send(stage, [SYMBOL], BARS)
        result.expect(stage.worker.process.running, "the next worker ended too")


EXPERIMENTS = (
    FreezeFault(
        "strategy-freezes",
        "A worker that is frozen in C ends, and the next one runs without the strategy that froze it.",
        on_bar="sum(itertools.repeat(0))",
        ended_by=signal.SIGABRT,
    ),
    FreezeFault(
        "strategy-crashes",
        "A worker that crashes in C runs again without the strategy that crashed it.",
        on_bar="ctypes.string_at(0)",
        ended_by=signal.SIGSEGV,
    ),
)
