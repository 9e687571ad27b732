"""Stored code misbehaves, its processes are killed, and its versions change under load."""

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from services.sandbox.filter import CHANNEL
from tests.faults import measures
from tests.faults.experiment import Terms
from tests.faults.result import Result
from tests.faults.sealed_stage import (
    AUTHORIZED,
    TELLING,
    TOKEN,
    Chronicle,
    add_code,
    answer_times,
    change_code,
    publish,
    start_sealed,
)
from tests.faults.stage import Stage, open_stage
from tests.support import eventually

# Answers one bar in twenty, and not at the same moment as its siblings.
GOOD = """
def on_bar(bar):
    if (bar.timestamp.minute + int(symbol[1:])) % 20 == 0:
        send_signal("BUY", bar.close, 1.0)
"""
ABUSES = {
    "loops": "def on_bar(bar):\n    while True: pass\n",
    "loops and goes on": (
        "def on_bar(bar):\n"
        "    while True:\n"
        "        try:\n"
        "            step = 0\n"
        "            while True: pass\n"
        "        except BaseException: pass\n"
    ),
    "computes in C": "def on_bar(bar):\n    sum(range(10 ** 12))\n",
    "takes memory": "held = []\ndef on_bar(bar):\n    while True: held.append(bytearray(1 << 20))\n",
    "makes a forbidden call": "import sys\ndef on_bar(bar):\n    sys.modules['posix'].getppid()\n",
    "floods with signals": "def on_bar(bar):\n    while True: send_signal('BUY', bar.close, 1.0)\n",
    "floods the log": "def on_bar(bar):\n    while True: print('x' * 1000)\n",
    "writes no frames": (
        f"import sys\ndef on_bar(bar):\n    sys.modules['posix'].write({CHANNEL}, bytes([255] * 64))\n"
    ),
    "leaves": "import sys\ndef on_bar(bar):\n    sys.modules['posix']._exit(0)\n",
    "raises": "def on_bar(bar):\n    raise ValueError(bar)\n",
}
ENDED = {"QUARANTINED", "ERROR"}
SLOWER_AT_MOST = 2.0
SLOWER_WHILE_ENDED = 10.0
# Three ends of each abuser, and the pauses between them.
ENDING_SECONDS = 10.0
RELOAD_SECONDS = 20.0


@dataclass(frozen=True)
class SealedAbusers:
    """Sessions of well-behaved code, and then some that abuse what they are given in mixed ways."""

    name: str = "sealed-abusers"
    promise: str = (
        "Stored code that misbehaves is ended. What others wait for takes over a minute at most twice as"
        " long, and ten times while it is ended."
    )
    rounds: int = 1

    def run(self, terms: Terms) -> Result:
        """Measure the good ones alone, and among bad ones."""
        result = Result(self.name, self.promise, terms.rounds)
        sessions, abusers, rate, seconds = (20, len(ABUSES), 100, 4) if terms.quick else (480, 20, 2_000, 60)
        good = [f"G{number}" for number in range(sessions)]
        bad = [f"B{number}" for number in range(abusers)]
        with open_stage(terms.databases.new()) as stage:
            began = time.monotonic()
            keys = start_sealed(stage, add_code(stage.database_url, "good", GOOD), good, "good")
            result.figures["seconds to start a session"] = (time.monotonic() - began) / sessions
            publish(stage, good, rate, 1)  # nothing is measured of what runs for the first time
            calm = self._measure(stage, keys, (good, rate, seconds))
            abuses = dict(zip(bad, list(ABUSES) * abusers, strict=False))
            for name, source in ABUSES.items():
                row = add_code(stage.database_url, name, source)
                start_sealed(stage, row, [symbol for symbol in bad if abuses[symbol] == name], "bad")
            began = time.monotonic()
            struck = self._measure(stage, keys, ([*good, *bad], rate, seconds))
            worst = measures.p99(answer_times(stage, keys, began, began + ENDING_SECONDS))
            result.figures |= {"p99 alone in ms": 1e3 * calm, "p99 among abusers in ms": 1e3 * struck}
            result.figures["p99 while they are ended, in ms"] = 1e3 * worst
            result.recover.append(struck)
            ratio = worst / calm
            result.expect_in_time(ratio <= SLOWER_WHILE_ENDED, f"p99 {ratio:.1f} times as long at the worst")
            result.expect_in_time(struck <= SLOWER_AT_MOST * calm, f"p99 {struck / calm:.1f} times as long")
            self._judge(stage, keys, abuses, result)
        return result

    def _measure(self, stage: Stage, keys: list[str], load: tuple[list[str], int, int]) -> float:
        """Return the p99 of the good ones' answers, in seconds."""
        symbols, rate, seconds = load
        began = time.monotonic()
        publish(stage, symbols, rate, seconds)
        measures.settle(stage)
        return measures.p99(answer_times(stage, keys, began))

    def _judge(self, stage: Stage, keys: list[str], abuses: dict[str, str], result: Result) -> None:
        """Expect every abuser to be ended soon, with a reason, and every good session to be left alone."""

        def going_on() -> dict[str, str]:
            held = stage.worker.sessions()
            return {
                symbol: name for symbol, name in abuses.items() if held[f"bad-{symbol}"]["state"] not in ENDED
            }

        ending = time.monotonic() + RELOAD_SECONDS
        while (left := going_on()) and time.monotonic() < ending:
            publish(stage, list(left), 2 * len(left), 1)
        result.expect(not left, f"these go on: {', '.join(sorted(set(left.values())))}")
        held = stage.worker.sessions()
        silent = [symbol for symbol in abuses if symbol not in left and not held[f"bad-{symbol}"]["reason"]]
        result.expect(not silent, f"{len(silent)} were ended without a reason")
        lost = [key for key in keys if held[key]["state"] != "RUNNING" or held[key]["sandbox"]["restarts"]]
        result.expect(not lost, f"{len(lost)} good sessions were disturbed")
        causes = Counter(
            {labels[1]: int(count) for labels, count in _samples(stage, "sandbox_hosts_ended_total")}
        )
        result.figures["ends"] = ", ".join(f"{cause} {count}" for cause, count in sorted(causes.items()))
        result.expect(stage.worker.get("/health").status_code == 200, "/health is not 200")


@dataclass(frozen=True)
class SealedReloads:
    """Code is stored anew and reloaded, again and again, while bars come."""

    name: str = "sealed-reloads"
    promise: str = "Over reloads every bar is answered once, in order, by exactly one version."
    rounds: int = 100

    def run(self, terms: Terms) -> Result:
        """Reload in every round, under load; compare what was told with what was published."""
        result = Result(self.name, self.promise, terms.rounds)
        reloads = max(terms.rounds, 5)
        symbols = [f"R{number}" for number in range(4)]
        with open_stage(terms.databases.new(), {"CONTROL_TOKEN": TOKEN}) as stage:
            chronicle = Chronicle(stage)
            row = add_code(stage.database_url, "telling", TELLING.format(version=0))
            keys = start_sealed(stage, row, symbols, "telling")
            with stage.feed.flowing(symbols, 0.02):
                for version in range(1, reloads + 1):
                    result.recover.append(_reload(stage, row, version, keys))
            publish(stage, symbols, 100, 0.2)
            result.broken += chronicle.complaints(keys)
            for key in keys:
                told = chronicle.versions(key)
                result.expect(reloads in told, f"{key} never ran the last version")
                result.note_largest("versions that told of a bar", len(told))
            result.figures["bars"] = sum(len(stage.feed.published[symbol]) for symbol in symbols)
        return result


@dataclass(frozen=True)
class SealedKills:
    """Every host is killed under load, and at last the process that they were forked from."""

    name: str = "sealed-kill-9"
    promise: str = "Over the end of its process a session loses no bar, and answers none twice."
    rounds: int = 2

    def run(self, terms: Terms) -> Result:
        """Kill all hosts in every round, at most twice, since the third time is a strike too many."""
        result = Result(self.name, self.promise, terms.rounds)
        symbols = [f"K{number}" for number in range(4)]
        with open_stage(terms.databases.new()) as stage:
            chronicle = Chronicle(stage)
            row = add_code(stage.database_url, "telling", TELLING.format(version=0))
            keys = start_sealed(stage, row, symbols, "telling")
            with stage.feed.flowing(symbols, 0.02):
                for number in range(1, min(terms.rounds, 2) + 1):
                    for host in _children(_zygote(stage)):
                        os.kill(host, signal.SIGKILL)
                    result.recover.append(_await_restarts(stage, keys, number))
                os.kill(_zygote(stage), signal.SIGKILL)
                result.recover.append(_await_restarts(stage, keys, number + 1))
            result.broken += chronicle.complaints(keys)
            result.expect(stage.running() >= set(keys), "a session does not run any more")
        return result


def _reload(stage: Stage, row: str, version: int, keys: list[str]) -> float:
    """Have the sessions go on with this version; return the seconds that it took."""
    change_code(stage.database_url, row, TELLING.format(version=version))
    began = time.monotonic()
    stage.worker.post(f"/strategies/{row}/reload", AUTHORIZED)

    def reloaded() -> bool:
        held = stage.worker.sessions()
        return all(held[key]["sandbox"]["reloads"] >= version for key in keys)

    eventually(reloaded, RELOAD_SECONDS, f"version {version} runs")
    return time.monotonic() - began


def _await_restarts(stage: Stage, keys: list[str], count: int) -> float:
    """Wait until every session was started again so many times and is told of bars; return the seconds."""
    began = time.monotonic()

    def again() -> bool:
        held = stage.worker.sessions()
        return all(held[key]["sandbox"]["restarts"] >= count and held[key]["reason"] is None for key in keys)

    eventually(again, RELOAD_SECONDS, f"all hosts run for the {count + 1}. time")
    return time.monotonic() - began


def _zygote(stage: Stage) -> int:
    return next(
        child
        for child in _children(stage.worker.process.pid)
        if b"zygote.py" in Path(f"/proc/{child}/cmdline").read_bytes()
    )


def _children(process_id: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{process_id}/task").iterdir()
        for child in task.joinpath("children").read_text(encoding="ascii").split()
    ]


def _samples(stage: Stage, name: str) -> list[tuple[tuple[str, ...], float]]:
    return [(labels, value) for labels, value in stage.worker.metrics().items() if labels[0] == name]


EXPERIMENTS = (SealedAbusers(), SealedReloads(), SealedKills())
