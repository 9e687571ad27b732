"""A strategy misbehaves beside a hundred others: they lose nothing, and wait for it once."""

import time
from dataclasses import dataclass
from threading import Event

from tests.acceptance.conftest import LiveWorker
from tests.faults import measures
from tests.faults.experiment import Terms
from tests.faults.result import Result
from tests.faults.stage import Stage, open_stage
from tests.support import eventually

SYMBOL = "SHARED"
LISTENERS = 100
DEADLINE = 0.25
INTERVAL = 0.02
CALM_BARS, BARS = 25, 75
CALLS = 3  # two, where the machine does not hold up others in between
MISBEHAVING = """
import re, time
from strategies.base_strategy import BaseStrategy

class Misbehaves(BaseStrategy):
    name = "misbehaves"

    def on_bar(self, bar):
        {on_bar}

    def on_trade(self, trade): pass

    def on_stop(self):
        {on_stop}
"""
_never = Event()


@dataclass(frozen=True)
class StrategyFault:
    """One session runs `on_bar` and `on_stop` as given here; `states` are those that it may be left in.

    One that `holds_lock` computes in C with the interpreter's lock: it may take its time, but not often.
    """

    name: str
    promise: str
    on_bar: str = "pass"
    on_stop: str = "pass"
    states: tuple[str, ...] = ("QUARANTINED",)
    rounds: int = 3
    holds_lock: bool = False

    def run(self, terms: Terms) -> Result:
        """Start a misbehaving session in every round, among listeners of the same symbol."""
        result = Result(self.name, self.promise, terms.rounds)
        code = MISBEHAVING.format(on_bar=self.on_bar, on_stop=self.on_stop)
        with open_stage(terms.databases.new()) as stage:
            stage.journals.strategies.joinpath("misbehaving.py").write_text(code)
            stage.kill_worker()
            stage.start_worker()
            listeners = stage.host("listens", [SYMBOL], [f"listener{number}" for number in range(LISTENERS)])
            keys = [each.key for each in listeners]
            for number in range(terms.rounds):
                self._round(stage, keys, f"bad{number}", result)
            result.expect_nothing_lost(measures.tally(stage))
        return result

    def _round(self, stage: Stage, keys: list[str], bad: str, result: Result) -> None:
        began = time.monotonic()
        result.broken += measures.send(stage, [SYMBOL], CALM_BARS, INTERVAL)
        calm = max(measures.waits(stage, keys, began))
        stage.host("misbehaves", [SYMBOL], [bad])
        struck = time.monotonic()
        if self.on_stop != "pass":
            stage.worker.control("unsubscribe", SYMBOL, session=bad)
        result.broken += [f"bars lost: {each}" for each in measures.send(stage, [SYMBOL], BARS, INTERVAL)]
        if self.on_stop == "pass":
            state = eventually(lambda: self._state(stage.worker, bad), 5, f"{bad} is {self.states}")
            result.figures["ended"] = state
        if self.holds_lock:
            calls = int(stage.worker.sessions()[bad]["bars"])
            result.note_largest("calls until it was found", calls)
            result.expect_in_time(calls <= CALLS, f"it held up the others {calls} times")
        stage.ended.add(bad)
        stage.worker.control("unsubscribe", SYMBOL, session=bad)
        self._judge_waits(stage, keys, (calm, struck), result)
        result.expect(stage.worker.get("/health").status_code == 200, "/health is not 200")

    def _state(self, worker: LiveWorker, key: str) -> str:
        state = str(worker.sessions().get(key, {}).get("state"))
        return state if state in self.states else ""

    def _judge_waits(
        self, stage: Stage, keys: list[str], before: tuple[float, float], result: Result
    ) -> None:
        calm, struck = before
        longest = max(measures.waits(stage, keys, struck))
        stalls = max(_stalls(stage, key, struck) for key in keys)
        result.note_largest("longest wait before in ms", 1e3 * calm)
        result.note_largest("longest wait in ms", 1e3 * longest)
        result.note_largest("stalls", stalls)
        result.recover.append(longest)
        limit = 2 * DEADLINE + calm
        result.expect_in_time(
            self.holds_lock or longest <= limit,
            f"others waited {1e3 * longest:.0f} ms, at most {1e3 * limit:.0f}",
        )
        result.expect_in_time(stalls <= 1, f"others were held up {stalls} times")


def _stalls(stage: Stage, key: str, since: float) -> int:
    """How many times a session waited long: bars that waited behind the same one count with it."""
    late = [wait > DEADLINE / 2 for wait in measures.waits(stage, [key], since)]
    return sum(now and not before for before, now in zip([False, *late], late, strict=False))


EXPERIMENTS = (
    StrategyFault(
        "strategy-raises",
        "A strategy that always raises ends in ERROR, and nobody else notices.",
        on_bar="raise ValueError(bar.symbol)",
        states=("ERROR",),
    ),
    StrategyFault(
        "strategy-loops",
        "A handler that never ends is interrupted, and the others wait once.",
        on_bar="while True: pass",
    ),
    StrategyFault(
        "strategy-sleeps",
        "A handler that sits in C is left behind, and the others wait once.",
        on_bar="time.sleep(3600)",
    ),
    StrategyFault(
        "strategy-regex",
        "Patterns that backtrack, one slice after the other, are interrupted between two.",
        on_bar="while True: re.match('(a+)+b', 'a' * 20)",
    ),
    StrategyFault(
        "strategy-endless-regex",
        "A pattern that would take years, with the lock of the interpreter, is interrupted too.",
        on_bar="re.match('(a+)+$', 'a' * 64 + 'b')",
    ),
    StrategyFault(
        "strategy-hoards",
        "A list that grows without an end is interrupted between two steps.",
        on_bar="hoard = []\n        while True: hoard += [0] * 100_000",
    ),
    StrategyFault(
        "strategy-1-gb",
        "A list of 1 GB, made in one step on every bar, is refused at once, and nobody else notices.",
        on_bar="self.hoard = [0] * 134_217_728; self.hoard = None",
        states=("ERROR",),
    ),
    StrategyFault(
        "strategy-computes",
        "What computes in C with the lock of the interpreter, on every bar, is found the second time.",
        on_bar="sum(range(50_000_000))",
        holds_lock=True,
    ),
    StrategyFault(
        "strategy-recursion",
        "Recursion without an end is contained, in Python and in C.",
        on_bar="(lambda f: f(f))(lambda f: f(f))",
        states=("ERROR",),
    ),
    StrategyFault(
        "strategy-on-stop",
        "An on_stop that hangs holds nobody up for longer than its deadline allows.",
        on_stop="time.sleep(3600)",
    ),
)
