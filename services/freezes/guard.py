"""The small process beside a worker that ends it when it is frozen: `python -I -S guard.py ORDER`.

It is run as a script and imports nothing but the standard library, so it costs little and starts at once. The
order is JSON. Every byte of stdin is a beat of the worker; at its end the worker has ended, and so does this.

A worker is frozen when since its last beat one of its threads has computed for as long as the order says.
Processor time is what counts, not the clock: one that was stopped, suspended, or is on a slow machine did
not compute. A frozen one gets SIGABRT, whose handler writes every thread's stack, in C and without the lock,
into the record, below a line that says when that was. The signal goes to the thread that computed: so it is
called the current one there.
"""

import contextlib
import json
import os
import select
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

LOOKS_PER_LIMIT = 10
LONGEST_LOOK_SECONDS = 1.0
DUMP_SECONDS = 5.0
READ_BYTES = 1 << 16


class Order(TypedDict):
    """Whom to watch, how many seconds of computing without a beat are a freeze, and where to note it."""

    worker: int
    seconds: float
    record: str | None


def guard(order: Order) -> None:
    """Watch until the worker ends, by itself or by us."""
    look_seconds = min(order["seconds"] / LOOKS_PER_LIMIT, LONGEST_LOOK_SECONDS)
    at_beat = processor_seconds(order["worker"])
    while True:
        if select.select([0], [], [], look_seconds)[0]:
            if not os.read(0, READ_BYTES):
                return
            at_beat = processor_seconds(order["worker"])
            continue
        thread, computed = busiest(at_beat, processor_seconds(order["worker"]))
        if computed >= order["seconds"] and os.getppid() == order["worker"]:
            end(order, thread, computed)
            return


def processor_seconds(process: int) -> dict[int, float]:
    """Return how long each thread of a process has computed, by its id; nothing of one that ended."""
    computed = {}
    tick = os.sysconf("SC_CLK_TCK")
    for task in Path(f"/proc/{process}/task").glob("[0-9]*"):
        try:
            # After the name in brackets, which may hold anything: 12th and 13th are user and system time.
            fields = (task / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # it has just ended
        computed[int(task.name)] = (int(fields[11]) + int(fields[12])) / tick
    return computed


def busiest(before: Mapping[int, float], now: Mapping[int, float]) -> tuple[int, float]:
    """Return the thread that computed the longest between two readings, and for how many seconds."""
    computed = {thread: seconds - before.get(thread, 0.0) for thread, seconds in now.items()}
    return max(computed.items(), key=lambda item: item[1], default=(0, 0.0))


def end(order: Order, thread: int, computed: float) -> None:
    """Note the freeze, have the stacks written, and see to it that the worker is gone."""
    note = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": round(computed, 1)}
    if order["record"] is not None:
        with contextlib.suppress(OSError), Path(order["record"]).open("a", encoding="utf-8") as record:
            record.write(json.dumps(note) + "\n")
    try:
        os.kill(thread, signal.SIGABRT)  # the whole process gets it; Linux has this thread run the handler
    except ProcessLookupError:
        os.kill(order["worker"], signal.SIGABRT)
    while select.select([0], [], [], DUMP_SECONDS)[0]:
        if not os.read(0, READ_BYTES):
            return
    if os.getppid() == order["worker"]:
        os.kill(order["worker"], signal.SIGKILL)


if __name__ == "__main__":
    guard(json.loads(sys.argv[1]))
