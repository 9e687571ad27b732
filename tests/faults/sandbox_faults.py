"""Sealed sessions under reloads, kills and abuse: events are seen once, good sessions hardly notice."""

import os
import signal
import time
from dataclasses import dataclass
from threading import Event, Thread

from msgspec.structs import replace

from models.signal import Signal
from services.sandbox.budgets import Budgets
from services.sandbox.ending import Ending
from services.sandbox.strikes import StrikeBook, Verdict
from services.sandbox.ward import Ward
from tests.faults.experiment import Terms
from tests.faults.result import Result
from tests.sealed_world import SealedWorld, warded

TELLING = """
seen, version = 0, {version}
def on_bar(bar):
    global seen
    seen += 1
    at = bar.timestamp.isoformat()
    send_signal("BUY", 1.0, 1.0, metadata={{"seen": seen, "at": at, "version": version}})
def get_state():
    return {{"seen": seen}}
def set_state(state):
    global seen
    seen = state["seen"]
"""
ANSWERING = 'def on_bar(bar):\n    send_signal("BUY", 1.0, 1.0)\n'
ABUSES = (
    "def on_bar(bar):\n    while True: pass\n",
    "def on_bar(bar):\n    while True: log.info('x' * 1000)\n",
    "def on_bar(bar):\n    while True: send_signal('BUY', 1.0, 1.0)\n",
    "def on_bar(bar):\n    list(bytearray(1 << 20) for _ in range(1 << 20))\n",
    "import sys\ndef on_bar(bar):\n    sys.modules['posix'].getppid()\n",
    "def on_bar(bar):\n    sum(range(10 ** 12))\n",
)
KEY = "s1"
PACE = 0.002


class Forgiving(StrikeBook):
    """Starts every host again at once: what is tried here is the start, not the patience."""

    def strike(self, key: str, ending: Ending) -> Verdict:
        del key
        return Verdict(0.01, ending.reason)


@dataclass(frozen=True)
class OnceEach:
    """A bar every two milliseconds, while hosts are replaced: by new code, or because they are killed."""

    name: str
    promise: str
    rounds: int = 100

    def run(self, terms: Terms) -> Result:
        """Publish until the last round is over; then look at what was seen."""
        result = Result(self.name, self.promise, terms.rounds)
        rounds = terms.rounds if not terms.quick else 3
        with warded(Budgets(signals_per_second=100_000), Forgiving(None)) as ward:
            world = SealedWorld(ward, TELLING.format(version=0))
            world.manager.start_session("AAPL", "counting", KEY)
            world.deliver()
            published, sent = self._publish(world, ward, rounds, terms)
        seen = [each.metadata["seen"] for each in sent]
        result.expect(len(sent) == published, f"{published} bars, {len(sent)} seen")
        result.expect(seen == list(range(1, published + 1)), "not in order, or twice")
        versions = [each.metadata["version"] for each in sent]
        result.expect(versions == sorted(versions), "an older version came after a newer one")
        result.figures |= {"bars": published, "versions": len(set(versions)), "hosts replaced": rounds}
        return result

    def _publish(self, world: SealedWorld, ward: Ward, rounds: int, terms: Terms) -> tuple[int, list[Signal]]:
        over, pause, published = Event(), Event(), 0
        sent: list[Signal] = []
        disturbing = Thread(target=self._disturb, args=(world, ward, rounds, terms, over), daemon=True)
        disturbing.start()
        while not over.is_set():
            published += 1
            world.bar(published)
            world.deliver()
            sent += _answered(world)
            pause.wait(PACE)
        world.settle()
        return published, sent + _answered(world)

    def _disturb(self, world: SealedWorld, ward: Ward, rounds: int, terms: Terms, over: Event) -> None:
        link, pause = world.sealed(KEY).link, Event()
        try:
            for number in range(1, rounds + 1):
                pause.wait(terms.chance.uniform(0.005, 0.05))
                if self.name == "sandbox-reload":
                    ward.reload(KEY, replace(link.load, source=TELLING.format(version=number)))
                else:
                    _kill(ward, number)
        finally:
            over.set()


def _answered(world: SealedWorld) -> list[Signal]:
    """Have the gateway execute what was sent, and return it."""
    sent = list(world.sent)
    for each in sent:
        world.answer(each)
    return sent


def _kill(ward: Ward, number: int) -> None:
    """Kill the host that runs, and wait for its successor to be there."""
    talk, pause = ward._talks[KEY], Event()  # noqa: SLF001 — from outside, as the system does
    while (wire := talk.wire) is None or not wire.loaded:
        pause.wait(0.005)
    os.kill(wire.process.pid, signal.SIGKILL)
    while talk.link.restarts < number:
        pause.wait(0.005)


@dataclass(frozen=True)
class Abuse:
    """Good sessions answer 2,000 bars a second in all, without and with abusive ones beside them."""

    name: str = "sandbox-abuse"
    promise: str = "One abusive session in 25 at most doubles the p99 of the others."
    rounds: int = 1
    sessions: int = 500
    seconds: float = 10.0

    def run(self, terms: Terms) -> Result:
        """Measure both ways."""
        result = Result(self.name, self.promise, terms.rounds)
        sessions, seconds = (25, 2.0) if terms.quick else (self.sessions, self.seconds)
        calm = self._p99(sessions, 0, seconds)
        struck = self._p99(sessions - sessions // 25, max(1, sessions // 25), seconds)
        result.figures |= {"p99 calm in ms": 1e3 * calm, "p99 beside abuse in ms": 1e3 * struck}
        result.expect_in_time(struck <= 2 * calm, f"p99 {1e3 * struck:.1f} ms, calm {1e3 * calm:.1f} ms")
        return result

    def _p99(self, good: int, bad: int, seconds: float) -> float:
        with warded() as ward:
            world = SealedWorld(ward, ANSWERING)
            for number in range(good):
                assert world.manager.start_session(f"SYM{number}", "counting", f"s{number}") == "started"
            for number in range(bad):
                world.source = ABUSES[number % len(ABUSES)]
                world.manager.start_session(f"BAD{number}", "counting", f"bad{number}")
            world.deliver()
            return _latency(world, good, bad, seconds)


def _latency(world: SealedWorld, good: int, bad: int, seconds: float) -> float:
    """Return the 99th percentile of the seconds from a bar to its signal, over the good sessions."""
    waits: list[float] = []
    told: dict[str, float] = {}
    pause, started, published = Event(), time.monotonic(), 0
    while (now := time.monotonic()) - started < seconds:
        while published < (now - started) * 2000:
            symbol = f"SYM{published % good}" if published % 25 or not bad else f"BAD{published // 25 % bad}"
            told.setdefault(symbol, time.monotonic())
            world.bar(published // good, symbol)
            published += 1
        world.deliver()
        answered = (each.symbol for each in world.sent if each.symbol.startswith("SYM"))
        waits += [time.monotonic() - told.pop(symbol) for symbol in answered if symbol in told]
        world.sent.clear()
        pause.wait(0.0005)
    waits.sort()
    return waits[len(waits) * 99 // 100]


EXPERIMENTS = (
    OnceEach("sandbox-reload", "While code is reloaded every bar is seen once, in order, by one version."),
    OnceEach("sandbox-kill", "While hosts are killed no bar is lost, and none is answered twice.", rounds=20),
    Abuse(),
)
