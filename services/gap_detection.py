"""What two messages that follow each other say about those between them: pure, and never more than is known.

With `seq` (and `epoch`, which changes when a publisher starts over) the number of missed messages is
exact. Without, a bar that comes later than one step of its timeframe tells of bars that are missing, which
a market that did not trade leaves out too. The night between two sessions is no hole, so only bars
of one UTC day are compared.
"""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

SECONDS = {"s": 1, "m": 60, "h": 3600}

Detection = Literal["none", "bars", "exact"]


class Position(NamedTuple):
    """Where a channel stands: the last `seq` within an `epoch`."""

    epoch: int | None
    seq: int


class Missed(NamedTuple):
    """Messages that did not come; `messages` is None where nobody can know how many."""

    messages: int | None
    reason: str


DUPLICATE = Missed(0, "duplicate")


def after(last: Position | None, now: Position) -> Missed | None:
    """Say what was missed between two messages of a channel.

    None when nothing was; DUPLICATE when `now` was there before; None messages when a publisher started
    over, because what it said before it ended is not known.
    """
    if last is None:
        return None
    if last.epoch != now.epoch:
        return Missed(None, "publisher_started_over")
    if now.seq <= last.seq:
        return DUPLICATE
    missed = now.seq - last.seq - 1
    return Missed(missed, "sequence") if missed else None


def missing_bars(timeframe: str, last: datetime, now: datetime) -> int:
    """Return how many bars of the timeframe fit between two that follow each other within a UTC day."""
    step = step_of(timeframe)
    if step is None or now - last <= step or now.date() != last.date():
        return 0
    return max(0, round((now - last) / step) - 1)


@lru_cache(maxsize=1024)
def step_of(timeframe: str) -> timedelta | None:
    """Return the time from one bar to the next (`30s`, `1m`, `4h`), None for days and unknown words."""
    match = re.fullmatch(r"(\d{1,4})([smh])", timeframe)
    if match is None or match[1].strip("0") == "":
        return None
    return timedelta(seconds=int(match[1]) * SECONDS[match[2]])
