"""Two workers told to run the same sessions: one does, the other takes over when it dies or falls silent."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from threading import Event

from tests.faults import measures
from tests.faults.databases import unfinished_signals
from tests.faults.experiment import Terms
from tests.faults.pair import Pair, Place, frozen, open_pair, running
from tests.faults.proxy import Proxy
from tests.faults.result import Result
from tests.faults.stage import Stage, open_stage
from tests.gateway_stub import Answer, Received
from tests.support import eventually

SYMBOLS = [f"SYM{number}" for number in range(5)]
SESSIONS = 10
INTERVAL = 0.02
TAKEN_OVER_SECONDS = 10.0
QUICK_LEASE = {"LEASE_SECONDS": "2"}
MOMENTS = (0.2, 1.0)
_never = Event()

Silence = Callable[[Place, Proxy], AbstractContextManager[None]]
"""Keeps the worker of a place from saying that it lives, for the time of the block."""


@dataclass(frozen=True)
class WorkerKill:
    """Kills one of two workers while sessions decide on every bar, and starts it again."""

    name: str
    promise: str
    rounds: int = 20

    def run(self, terms: Terms) -> Result:
        """Kill in every round whichever chance wants of those that run sessions; the other must go on."""
        result = Result(self.name, self.promise, terms.rounds)
        with open_stage(terms.databases.new()) as stage, open_pair(stage) as pair:
            pair.host("decides", SYMBOLS, SESSIONS)
            with stage.feed.flowing(SYMBOLS, INTERVAL):
                for left in reversed(range(terms.rounds)):
                    _never.wait(terms.chance.uniform(*MOMENTS))
                    victim = terms.chance.choice([place for place in pair.places if running(place)])
                    killed = time.monotonic()
                    victim.kill_worker()
                    pair.runs_all(pair.other(victim))
                    result.recover.append(time.monotonic() - killed)
                    if left:
                        victim.start_worker()
                        pair.settled()
            _judge(stage, result)
        return result


@dataclass(frozen=True)
class WorkerSilence:
    """Silences the worker that runs everything, with signals on their way, until the other has taken over."""

    name: str
    promise: str
    silence: Silence
    rounds: int = 5

    def run(self, terms: Terms) -> Result:
        """Silence it in every round; what it had decided is executed once, whoever sends it."""
        result = Result(self.name, self.promise, terms.rounds)
        settings = QUICK_LEASE if terms.quick else {}
        with ExitStack() as stack:
            stage = stack.enter_context(open_stage(terms.databases.new(), settings))
            proxy = stack.enter_context(Proxy(stage.valkey.port))
            way = stage.valkey.url.replace(f":{stage.valkey.port}/", f":{proxy.port}/")
            pair = stack.enter_context(open_pair(stage, way))
            pair.host("decides", SYMBOLS, SESSIONS)
            for _ in range(terms.rounds):
                pair.move_to(pair.places[1])
                self._round(stage, pair, proxy, result)
            _judge(stage, result)
        return result

    def _round(self, stage: Stage, pair: Pair, proxy: Proxy, result: Result) -> None:
        first, second = pair.places
        arrived = len(stage.gateway.arrivals)
        stage.gateway.fault = lambda received: _come_again(stage, received)
        stage.feed.publish(*SYMBOLS)
        eventually(lambda: len(stage.gateway.arrivals) == arrived + SESSIONS)
        silenced = time.monotonic()
        with self.silence(second, proxy):
            pair.runs_all(first)
            result.recover.append(time.monotonic() - silenced)
            stage.gateway.fault = None
            stage.feed.publish(*SYMBOLS)  # a frozen worker hears of them, too, when it goes on
            eventually(lambda: unfinished_signals(stage.database_url) == 0, 60, "all is delivered")
        pair.settled()


def _come_again(stage: Stage, received: Received) -> Answer | None:
    """Ask to wait for a second, so that signals are on their way."""
    return stage.gateway.ask_to_wait(received, 429, 1) if received.method == "POST" else None


@contextmanager
def _frozen(place: Place, _: Proxy) -> Iterator[None]:
    with frozen(place):
        yield


@contextmanager
def _cut_off(_: Place, proxy: Proxy) -> Iterator[None]:
    """Swallow every packet between the worker and Redis."""
    proxy.swallow()
    yield
    proxy.flow()


def _judge(stage: Stage, result: Result) -> None:
    with contextlib.suppress(AssertionError):
        eventually(lambda: unfinished_signals(stage.database_url) == 0, 60)
    result.expect_nothing_lost(measures.tally(stage), crashed=True)
    recorded = result.tally.decided - result.tally.not_recorded
    result.expect(result.tally.executed == recorded, "a signal with a row was not executed")
    slowest = max(result.recover)
    result.expect_in_time(slowest <= TAKEN_OVER_SECONDS, f"taken over only after {slowest:.1f} s")


EXPERIMENTS = (
    WorkerKill(
        "lease-kill-9",
        "Of two workers one runs each session, and after a kill -9 the other does within 10 s.",
    ),
    WorkerSilence(
        "lease-frozen",
        "What a worker had decided that is frozen beyond its lease is executed once, by its successor.",
        _frozen,
    ),
    WorkerSilence(
        "lease-cut-off",
        "A worker cut off from Redis, and not from the gateway, sends nothing beyond its lease.",
        _cut_off,
    ),
)
