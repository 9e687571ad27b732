"""Walk-forward: the parameters that were best in one stretch of time, played in the next.

What a sweep finds best has been chosen with the data that it is shown on. Here it is not: each stretch is
played with what was best before it.
Source: R. Pardo, "Design, Testing, and Optimization of Trading Systems" (1992).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from math import prod
from typing import Any

from msgspec import Struct

from models.errors import ConfigError
from services.history.backtest import Event
from services.history.sweep import Task, Trial, best_of


class Fold(Struct, frozen=True):
    """Two stretches that follow each other: the best of the first, and what it did in the second.

    Times are those of the first and last event of each. Both trials are None where no score is defined.
    """

    learnt_from: datetime
    learnt_until: datetime
    tried_from: datetime
    tried_until: datetime
    best: Trial | None
    tried: Trial | None


def walk_forward(
    events: Sequence[Event],
    parameters: Sequence[Mapping[str, Any]],
    folds: int,
    objective: str,
    trying: Callable[[Sequence[Task]], Iterable[Trial]],
) -> list[Fold]:
    """Cut the events into `folds` + 1 stretches of as many events; learn in each but the last.

    Every stretch is warmed up with the bars before it. Raises ConfigError where there are too few events.
    """
    edges = _edges(events, folds + 1)
    learning = [
        Task(values, edges[fold + 1], events[edges[fold]].timestamp)
        for fold in range(folds)
        for values in parameters
    ]
    trials = list(trying(learning))
    size = len(parameters)
    best = [best_of(trials[fold * size : (fold + 1) * size], objective) for fold in range(folds)]
    proofs = [
        Task(each.parameters, edges[fold + 2], events[edges[fold + 1]].timestamp)
        for fold, each in enumerate(best)
        if each is not None
    ]
    tried = iter(trying(proofs))
    return [
        Fold(
            events[edges[fold]].timestamp,
            events[edges[fold + 1] - 1].timestamp,
            events[edges[fold + 1]].timestamp,
            events[edges[fold + 2] - 1].timestamp,
            each,
            None if each is None else next(tried),
        )
        for fold, each in enumerate(best)
    ]


def chained_return(folds: Iterable[Fold]) -> float | None:
    """Return what all stretches that were tried earned one after the other; None where there is none."""
    earned = [
        fold.tried.statistics.total_return
        for fold in folds
        if fold.tried is not None and fold.tried.statistics is not None
    ]
    return prod(1.0 + each for each in earned) - 1.0 if earned else None


def _edges(events: Sequence[Event], stretches: int) -> list[int]:
    """Return where each stretch begins, and the end; events of one time stay together."""
    edges = [0]
    for number in range(1, stretches):
        place = max(len(events) * number // stretches, edges[-1] + 1)
        while place < len(events) and events[place].timestamp == events[place - 1].timestamp:
            place += 1
        edges.append(place)
    edges.append(len(events))
    if any(later <= edge for edge, later in pairwise(edges)):
        raise ConfigError(f"{len(events)} bars are too few for {stretches} stretches of time")
    return edges
