"""How much is measured: the full form for numbers, the quick form to see that everything works."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Sizes of a run: `events` per side and round; over `lasting_events` memory has to stay flat."""

    form: str = "full"
    rounds: int = 9
    events: int = 100_000
    sessions: int = 1_000
    samples: int = 200
    idle_sessions: int = 2_000
    lasting_events: int = 10_000_000


QUICK = Effort(
    form="quick",
    rounds=2,
    events=2_000,
    sessions=50,
    samples=20,
    idle_sessions=200,
    lasting_events=20_000,
)
