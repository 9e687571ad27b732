"""What an experiment found: counts of signals, seconds to recover, and how its promise was broken."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FINAL = {"executed", "rejected", "expired", "unknown", "refused"}


@dataclass(frozen=True)
class Tally:
    """Signals, counted by their ids.

    `lost`: decided and recorded, neither executed nor told to have ended otherwise. `misreported`: executed
    while the worker says that it was not, or the other way. `not_recorded`: decided, and the process died
    before the row was written. `invented`: recorded or executed, and nobody decided it.
    """

    decided: int = 0
    executed: int = 0
    lost: int = 0
    duplicated: int = 0
    unknown: int = 0
    misreported: int = 0
    not_recorded: int = 0
    invented: int = 0

    @classmethod
    def of(cls, decided: Iterable[str], executions: Counter[str], statuses: Mapping[str, str]) -> "Tally":
        """Compare what was decided, what the gateway executed and what the worker's table says."""
        wanted = set(decided)
        done = {signal_id for signal_id, times in executions.items() if times}
        said = {signal_id for signal_id, status in statuses.items() if status == "executed"}
        ended_otherwise = {
            signal_id for signal_id, status in statuses.items() if status in FINAL - {"executed"}
        }
        told_wrong = {each for each in done if statuses.get(each) in {"rejected", "expired", "refused"}}
        return cls(
            decided=len(wanted),
            executed=len(done & wanted),
            lost=len((wanted & statuses.keys()) - done - ended_otherwise),
            duplicated=sum(times - 1 for times in executions.values() if times > 1),
            unknown=sum(status == "unknown" for status in statuses.values()),
            misreported=len(told_wrong) + len(said - done),
            not_recorded=len(wanted - statuses.keys() - done),
            invented=len((done | statuses.keys()) - wanted),
        )


@dataclass
class Result:
    """The outcome of one experiment. `recover` holds seconds, one per round; `figures` what else it saw.

    `broken` says how its promise was broken, `late` what took longer than promised.
    """

    name: str
    promise: str
    rounds: int
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    recover: list[float] = field(default_factory=list)
    figures: dict[str, float | str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether the promise held."""
        return not self.broken

    def note_largest(self, figure: str, value: float) -> None:
        """Keep the largest value of a figure over the rounds."""
        self.figures[figure] = max(value, float(self.figures.get(figure, value)))

    def expect(self, held: object, complaint: str) -> None:
        """Note a way in which the promise is broken, unless it held."""
        if not held:
            self.broken.append(complaint)

    def expect_in_time(self, held: object, complaint: str) -> None:
        """Note what took too long, unless it held; judged in the long form, on a machine that is not busy."""
        if not held:
            self.late.append(complaint)

    def expect_nothing_lost(self, tally: Tally, *, crashed: bool = False) -> None:
        """Take over the counts and expect what always holds; only a crash may cost a decision its row."""
        self.tally = tally
        for what in ("lost", "duplicated", "misreported", "invented"):
            self.expect(not getattr(tally, what), f"{getattr(tally, what)} signals {what}")
        self.expect(
            crashed or not tally.not_recorded, f"{tally.not_recorded} decisions that were never recorded"
        )

    def describe(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {**asdict(self), "kept": self.kept}
