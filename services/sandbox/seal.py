"""Seals this process: from then on it computes, speaks on its channel, and can do nothing else.

The layers from the outside in: another user where the zygote was root, no core dumps and no memory for
others to read, no privileges and no new ones, limits, Landlock where the kernel has it, and the filter of
system calls (`filter.py`), which alone would be enough. The others are for the day when it has a hole.
"""

import os
import resource
import signal
import sys
from pathlib import Path

from services.sandbox import kernel
from services.sandbox.filter import ARCHITECTURES, KILL, host_filter

NOBODY = 65534
LARGEST_OUT_OF_MEMORY_SCORE = 1000
NICENESS = 5


def why_unsealable() -> str | None:
    """Return why no process can be sealed here, None where it can."""
    if sys.platform != "linux":
        return f"sealed processes need Linux with seccomp, and this is {sys.platform}"
    machine = os.uname().machine
    if machine not in ARCHITECTURES or sys.maxsize < 2**32:
        return f"sealed processes run on {' and '.join(ARCHITECTURES)}, and this is {machine}"
    try:
        kernel.can_filter(machine, KILL)
    except OSError as error:
        return f"this kernel or container allows no seccomp filters ({error.strerror})"
    return None


def drop_root() -> None:
    """Become nobody where this process is root and may; it must have read all files that it needs."""
    if os.geteuid() != 0:
        return
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError:
        return  # a container without that capability: what is root there is sealed all the same
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # else its hosts could not volunteer to be killed first


def seal(memory_bytes: int, parent: int) -> list[str]:
    """Seal this process, which ends with `parent`; return what holds it. Raises OSError, half sealed then.

    Its channel must be descriptor 0, and everything else closed.
    """
    machine = os.uname().machine
    _volunteer_to_be_killed_first()
    os.nice(NICENESS)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.drop_capabilities()
    _limit(memory_bytes)
    layers = ["seccomp", "limits"]
    if os.geteuid() != 0:
        layers.append("unprivileged")
    try:
        kernel.deny_by_landlock(kernel.landlock_version())
        layers.append("landlock")
    except OSError:
        pass  # the worker says so once
    kernel.install_filter(machine, host_filter(ARCHITECTURES[machine]))
    return layers


def _volunteer_to_be_killed_first() -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text(str(LARGEST_OUT_OF_MEMORY_SCORE), encoding="ascii")
    except OSError:
        return  # no /proc, or not ours: then the kernel chooses as it always does


def _limit(memory_bytes: int) -> None:
    """Let the process take so much more memory than it has now, write no files and dump no core."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + memory_bytes
    for what, limit in (
        (resource.RLIMIT_AS, most),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
