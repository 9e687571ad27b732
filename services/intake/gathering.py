"""How long a poll goes on: until it has enough, its time is up, or somebody says stop."""

import time
from collections.abc import Callable
from threading import Event

from services.intake.messages import Message

SLICE_SECONDS = 0.5
"""The longest single wait for a broker: so soon a stop is heeded."""


def gathered(
    read: Callable[[int, float], list[Message]], stop: Event, most: int, seconds: float, gather: float
) -> list[Message]:
    """Call `read(count, wait)` as `MessageSource.poll` promises, and return what it gave."""
    found: list[Message] = []
    deadline = time.monotonic() + seconds
    while not stop.is_set():
        left = deadline - time.monotonic()
        more = read(most - len(found), max(0.0, min(left, SLICE_SECONDS)))
        if more and not found:
            deadline = time.monotonic() + gather
        found += more
        if len(found) >= most or time.monotonic() >= deadline:
            break
    return found


def waited(stop: Event, deadline: float, seconds: float) -> bool:
    """Wait `seconds`, or until `deadline` (monotonic seconds) or a stop; return whether to go on."""
    left = deadline - time.monotonic()
    return left > 0 and not stop.wait(min(left, seconds))


BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)


def backoff(attempt: int) -> float:
    """Return the seconds to wait after so many failures in a row, the first being 0."""
    return BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)]
