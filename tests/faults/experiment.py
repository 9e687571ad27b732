"""The shape of every experiment, and the terms on which it runs."""

from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from tests.faults.databases import Databases
from tests.faults.result import Result


@dataclass(frozen=True)
class Terms:
    """How an experiment is to run. `minutes` is for those that take as long as one wants."""

    databases: Databases
    seed: int
    rounds: int
    quick: bool = False
    minutes: float = 20.0
    chance: Random = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "chance", Random(self.seed))  # noqa: S311 — not for secrets


class Experiment(Protocol):
    """One way to break something, and what the worker promises then, in one sentence."""

    @property
    def name(self) -> str:
        """How it is called on the command line."""

    @property
    def promise(self) -> str:
        """What must hold."""

    @property
    def rounds(self) -> int:
        """How often it breaks the thing, where nobody says otherwise; less in the quick form."""

    def run(self, terms: Terms) -> Result:
        """Break it and count. Raises AssertionError when the experiment itself cannot come to its end."""
