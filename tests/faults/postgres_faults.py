"""PostgreSQL is killed, frozen and restarted under load: signals wait, market data go on, nothing is lost."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from services.db_client import migrate
from services.embedded import EmbeddedPostgres
from tests.faults import measures
from tests.faults.experiment import Terms
from tests.faults.result import Result
from tests.faults.stage import Stage, open_stage

SYMBOLS = [f"SYM{number}" for number in range(5)]
SESSIONS = 10
INTERVAL = 0.02
AWAY_SECONDS, QUICK_AWAY_SECONDS = 10.0, 1.5
LONGEST_WAIT = 0.5
_never = Event()

Break = Callable[[EmbeddedPostgres, Callable[[], None]], None]


@dataclass(frozen=True)
class PostgresFault:
    """Breaks the server at a random moment, while sessions decide on every bar."""

    name: str
    promise: str
    broken_by: Break
    rounds: int = 5

    def run(self, terms: Terms) -> Result:
        """Break and mend in every round; in the end every decision must be executed."""
        result = Result(self.name, self.promise, terms.rounds)
        settings = {"SIGNAL_TTL_SECONDS": "120", "OUTBOX_SIZE": "100000"}
        away = QUICK_AWAY_SECONDS if terms.quick else AWAY_SECONDS
        with EmbeddedPostgres() as server:
            migrate(server.url)
            with open_stage(server.url, settings) as stage:
                stage.host("decides", SYMBOLS, [f"s{number}" for number in range(SESSIONS)])
                for _ in range(terms.rounds):
                    with stage.feed.flowing(SYMBOLS, INTERVAL):
                        _never.wait(terms.chance.uniform(0.3, 0.8))
                        began = time.monotonic()
                        self.broken_by(server, lambda: self._meanwhile(stage, away, result))
                        ended = time.monotonic()
                        result.recover.append(measures.recover(stage, ended))
                    self._judge_waits(stage, began, result)
                measures.settle(stage, 60)
                result.broken += measures.inexact_sessions(stage)
                result.expect_nothing_lost(measures.tally(stage))
                tally = result.tally
                result.expect(tally.executed == tally.decided, "not every decision was executed")
        return result

    def _meanwhile(self, stage: Stage, seconds: float, result: Result) -> None:
        _never.wait(seconds)
        healthy = stage.worker.get("/health").status_code == 200
        result.expect(healthy, "/health is not 200 while the database is away")

    def _judge_waits(self, stage: Stage, began: float, result: Result) -> None:
        """Market data must have gone on."""
        longest = max(measures.waits(stage, [f"s{number}" for number in range(SESSIONS)], began))
        result.note_largest("longest wait for a bar in ms", 1e3 * longest)
        result.expect_in_time(longest < LONGEST_WAIT, f"a bar waited {1e3 * longest:.0f} ms")


def killed(server: EmbeddedPostgres, meanwhile: Callable[[], None]) -> None:
    """End it with SIGKILL, and start it again."""
    server.kill()
    meanwhile()
    server.restart()


def paused(server: EmbeddedPostgres, meanwhile: Callable[[], None]) -> None:
    """Freeze it, and let it go on."""
    server.pause()
    meanwhile()
    server.resume()


def restarted(server: EmbeddedPostgres, _meanwhile: Callable[[], None]) -> None:
    """Restart it at once, whatever is being committed."""
    server.restart()


EXPERIMENTS = (
    PostgresFault(
        "postgres-kill",
        "While PostgreSQL is dead market data go on; afterwards every decision is executed once.",
        killed,
    ),
    PostgresFault(
        "postgres-pause",
        "While PostgreSQL is frozen market data go on; afterwards every decision is executed once.",
        paused,
    ),
    PostgresFault(
        "postgres-restart",
        "A restart in the middle of commits loses and doubles nothing.",
        restarted,
        rounds=20,
    ),
)
