"""What one comparison found: a number, the floor beside it, their ratio, and whether that is good enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


class MeasurementError(Exception):
    """What was measured did not do its work: the numbers would mean nothing."""


@dataclass(frozen=True)
class Goal:
    """The ratio that is good enough: at least the limit, or at most when less is better."""

    limit: float
    less_is_better: bool = False

    def is_met(self, ratio: float) -> bool:
        """Whether a ratio is good enough."""
        return ratio <= self.limit if self.less_is_better else ratio >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.less_is_better else '≥'} {self.limit:g} ×"


@dataclass(frozen=True)
class Floor:
    """What the worker is compared with, and what it did in every round."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Median value, median floor, and the ratios of value to floor, one per round."""

    name: str
    unit: str
    value: float
    floor_name: str
    floor: float
    ratios: tuple[float, ...]
    goal: Goal | None

    @property
    def ratio(self) -> float:
        """The median over the rounds."""
        return median(self.ratios)

    @property
    def met(self) -> bool | None:
        """Whether the median ratio is good enough; None where no ratio was promised."""
        return None if self.goal is None else self.goal.is_met(self.ratio)

    def describe(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "floor": {"name": self.floor_name, "value": self.floor},
            "ratio": self.ratio,
            "ratios": list(self.ratios),
            "goal": None if self.goal is None else str(self.goal),
            "met": self.met,
        }


def compare(name: str, unit: str, values: Sequence[float], floor: Floor, goal: Goal | None) -> Row:
    """Make a row of the values of all rounds and of the floors measured in the same rounds."""
    return Row(
        name=name,
        unit=unit,
        value=median(values),
        floor_name=floor.name,
        floor=median(floor.values),
        ratios=tuple(value / beside for value, beside in zip(values, floor.values, strict=True)),
        goal=goal,
    )
