"""Redis goes away, freezes, cuts off and refuses: sessions stay exact, and gaps reported are gaps made."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.faults import measures
from tests.faults import redis_disturbances as disturbances
from tests.faults.databases import end_session
from tests.faults.experiment import Terms
from tests.faults.journals import Hosted
from tests.faults.redis_disturbances import Disturbance
from tests.faults.result import Result
from tests.faults.stage import Stage, open_stage
from tests.support import eventually

SYMBOLS = [f"SYM{number}" for number in range(5)]
SESSIONS = 10
BARS = 3
NOTICED_SECONDS = 3.0

Disturb = Callable[[Stage, Terms, int], AbstractContextManager[Disturbance]]


@dataclass(frozen=True)
class RedisFault:
    """Disturbs the connection of a worker with sessions, some of whose rows change meanwhile."""

    name: str
    promise: str
    rounds: int
    disturb: Disturb
    loses_control: bool = True

    def run(self, terms: Terms) -> Result:
        """Break the connection in every round, and count what came through."""
        result = Result(self.name, self.promise, terms.rounds)
        with open_stage(terms.databases.new()) as stage, disturbances.between(stage, self.name):
            stage.host("decides", SYMBOLS, [f"s{number}" for number in range(SESSIONS)])
            for number in range(terms.rounds):
                self._round(stage, terms, number, result)
            measures.settle(stage)
            result.expect_nothing_lost(measures.tally(stage))
            result.expect(result.tally.executed == result.tally.decided, "not every decision was executed")
        return result

    def _round(self, stage: Stage, terms: Terms, number: int, result: Result) -> None:
        result.broken += measures.send(stage, SYMBOLS, BARS)
        before = measures.gaps(stage)
        with self.disturb(stage, terms, number) as made:
            if self.loses_control:
                change_rows(stage, number)
        result.recover.append(measures.recover(stage, made.ended_at))
        if made.noticed is not None:
            result.note_largest("noticed in s", made.noticed)
            result.expect_in_time(made.noticed <= NOTICED_SECONDS, f"noticed only after {made.noticed:.2f} s")
        compare_gaps(stage, before, made, result)
        result.broken += measures.inexact_sessions(stage)
        result.broken += measures.send(stage, SYMBOLS, BARS)


def change_rows(stage: Stage, number: int) -> None:
    """Have the platform start a session and stop another, with no word over Redis."""
    started, stopped = f"later{number}", f"later{number - 1}"
    stage.add_row(Hosted(started, SYMBOLS[0], "decides"))
    if number:
        end_session(stage.database_url, stopped)
        stage.ended.add(stopped)


def compare_gaps(stage: Stage, before: dict[str, int], made: Disturbance, result: Result) -> None:
    """Expect that the gaps reported since `before` are those that were made."""

    def found() -> dict[str, int]:
        return {
            stream: count - (0 if made.anew else before[stream])
            for stream, count in measures.gaps(stage).items()
        }

    with contextlib.suppress(AssertionError):
        eventually(lambda: all(found()[each] >= made.gaps[each] for each in measures.STREAMS), 2)
    reported = found()
    for stream in measures.STREAMS:
        for which, counted in (("made", made.gaps), ("reported", reported)):
            name = f"{stream} gaps {which}"
            result.figures[name] = float(result.figures.get(name, 0)) + counted[stream]
        # Bars that are missing by their minutes are gaps of their own: more of them than lost connections.
        enough = stream == "bars" and reported[stream] > made.gaps[stream] > 0
        exact = reported[stream] == made.gaps[stream]
        result.expect(exact or enough, f"{reported[stream]} gaps of {stream}, made {made.gaps[stream]}")


EXPERIMENTS = (
    RedisFault(
        "redis-restart",
        "Over a restart of Redis sessions stay exact, and the gap is reported once.",
        3,
        disturbances.restart,
    ),
    RedisFault(
        "redis-pause",
        "A Redis that freezes is noticed within 3 s, and sessions are exact when it goes on.",
        1,
        disturbances.pause,
    ),
    RedisFault(
        "redis-black-hole",
        "Packets that vanish are noticed within 3 s, and sessions are exact when they flow again.",
        1,
        disturbances.black_hole,
    ),
    RedisFault(
        "redis-kill-clients",
        "Subscriptions that are cut every second come back every time, each cut reported.",
        60,
        disturbances.kill_clients,
    ),
    RedisFault(
        "redis-slow-reader",
        "A reader cut off because it was too slow knows that it missed something.",
        5,
        disturbances.overflow,
        loses_control=False,
    ),
    RedisFault(
        "redis-acl-refused",
        "While Redis refuses the subscription /ready says so, and afterwards sessions are exact.",
        3,
        disturbances.refuse,
    ),
    RedisFault(
        "redis-down-at-start",
        "A worker started without Redis waits for it, and then runs what the table says.",
        3,
        disturbances.absent_at_start,
    ),
    RedisFault(
        "redis-slices",
        "A message of 1 MB in slices is refused and disturbs nothing.",
        3,
        disturbances.slices,
        loses_control=False,
    ),
)
