"""Who a worker is, and whether a worker of this machine is surely no more.

A worker that is started again after a kill -9 need not wait until the leases of its predecessor expire: the
kernel knows that the process is gone. What it cannot vouch for counts as alive.
"""

import os
import socket
from pathlib import Path

from msgspec import Struct

BOOT_ID = "sys/kernel/random/boot_id"
NAMESPACES = ("self/ns/pid", "self/ns/time")  # the second one is missing on old kernels: all share one then
# Fields of /proc/PID/stat after the name of the program, which may hold anything, and its parenthesis.
STATE, THREADS, STARTED = 0, 17, 19
DEAD = {"Z", "X", "x"}


class ProcessIdentity(Struct, frozen=True, kw_only=True):
    """One process on one machine. `machine` is None where no process could be told from a later one.

    `started` is the start of the process in ticks of the kernel: numbers of processes are used again.
    """

    machine: str | None
    pid: int
    started: int | None


def this_process(proc: Path = Path("/proc")) -> ProcessIdentity:
    """Return the identity of the calling process."""
    pid = os.getpid()
    try:
        if (proc / "self").readlink().name != str(pid):
            return ProcessIdentity(
                machine=None, pid=pid, started=None
            )  # it shows another machine's processes
        spaces = [(proc / name).readlink().name for name in NAMESPACES if (proc / name).is_symlink()]
        boot = (proc / BOOT_ID).read_text(encoding="ascii").strip()
        started = _read_stat(proc, pid)[STARTED]
    except (OSError, ValueError, IndexError):
        return ProcessIdentity(machine=None, pid=pid, started=None)
    return ProcessIdentity(
        machine="/".join((socket.gethostname(), boot, *spaces)), pid=pid, started=int(started)
    )


def is_surely_dead(other: ProcessIdentity, proc: Path = Path("/proc")) -> bool:
    """Whether a process of this machine has ended; false for every other, and where it cannot be known."""
    mine = this_process(proc)
    if mine.machine is None or mine.machine != other.machine or other.started is None:
        return False
    try:
        os.kill(other.pid, 0)  # before /proc, which may hide the processes of other users
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # it is another user's, or no number of a process
    try:
        fields = _read_stat(proc, other.pid)
        if int(fields[STARTED]) != other.started:
            return True  # another process under the same number
        return fields[STATE] in DEAD and int(fields[THREADS]) <= 1
    except (OSError, ValueError, IndexError):
        return False


def _read_stat(proc: Path, pid: int) -> list[str]:
    text = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    return text[text.rindex(")") + 1 :].split()
