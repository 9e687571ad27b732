"""What the end of a host means: whose fault it was, and in which words a session's reason says so."""

import signal
from enum import StrEnum
from typing import NamedTuple

from services.sandbox.orders import Ended

OUT_OF_MEMORY = 71
BROKEN = 70
"""Exit codes of a host that could not go on. Hostile code can end with them, too, to its own loss."""


class Cause(StrEnum):
    """Why a host ended, in one word: fit for a metric's label."""

    STOPPED = "stopped"
    ZYGOTE_LOST = "zygote_lost"
    LEFT = "left"
    FORBIDDEN_CALL = "forbidden_call"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    CPU = "cpu"
    WALL = "wall"
    FLOOD = "flood"
    PROTOCOL = "protocol"


class Ending(NamedTuple):
    """A host's end: the cause, and a sentence about it for a person."""

    cause: Cause
    reason: str


def ending_of(ended: Ended, killed_for: Ending | None = None) -> Ending:
    """Return what an end means; `killed_for` is why the worker killed the host, if it did."""
    if ended.signal == signal.SIGSYS:
        return Ending(Cause.FORBIDDEN_CALL, "it made a system call that sealed code may not make")
    if ended.signal is not None and ended.signal != signal.SIGKILL:
        return Ending(Cause.CRASHED, f"it crashed in C ({signal.Signals(ended.signal).name})")
    return killed_for or _unasked(ended)


def _unasked(ended: Ended) -> Ending:
    """Return what the end of a host means that the worker did not ask for."""
    if ended.signal is not None:
        return Ending(Cause.OUT_OF_MEMORY, "the system killed it, most likely for want of memory")
    if ended.code is None:
        return Ending(Cause.ZYGOTE_LOST, "the process that it was forked from has ended")
    if ended.code == OUT_OF_MEMORY:
        return Ending(Cause.OUT_OF_MEMORY, "it had no memory left to go on with")
    return Ending(Cause.LEFT, f"it ended by itself with code {ended.code}")
