"""The small process between the worker and one embedded server: `python -I -S supervisor.py`.

It is run as a script and imports nothing but the standard library, so it works wherever the interpreter does.

Why it exists: PR_SET_PDEATHSIG is bound to the *thread* that forked, so a server started from a short-lived
thread would be killed when that thread ends, and macOS has nothing like it. The supervisor has one thread,
which lives as long as the server, and on every system it learns of the end of its own parent by the end of
its standard input. If it is killed itself, PR_SET_PDEATHSIG (Linux) takes the server down with it.

First line of stdin: a JSON `Order`. Every further line: the number of a signal for the server. End of stdin,
or another parent than at the start: the server is ended and the private folder removed. First line of stdout:
`started <pid>` or `failed <reason>`; then `sent` after each signal. The supervisor leaves when the server and
all its children have left.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PARENT_CHECK_SECONDS = 1.0
LINUX = sys.platform == "linux"


class Order(TypedDict):
    """What to run: the account is None for "as we are"; `remove` is deleted when the parent vanishes."""

    command: list[str]
    environment: dict[str, str]
    account: tuple[int, int] | None
    parent: int
    ending_signal: int
    ending_seconds: float
    remove: str


def supervise(order: Order) -> None:
    """Run the server until it, or the parent, ends."""
    wake_up = wake_up_on_child_exit()
    server = start(order)
    if server is None:
        return
    while reap():
        ready, _, _ = select.select([0, wake_up], [], [], PARENT_CHECK_SECONDS)
        if wake_up in ready:
            os.read(wake_up, 4096)
        line = read_line() if 0 in ready else b"0"
        if not line or os.getppid() != order["parent"]:
            end(server, order, wake_up)
            shutil.rmtree(order["remove"], ignore_errors=True)
            return
        if int(line):
            send(server, int(line))
            os.write(1, b"sent\n")


def start(order: Order) -> int | None:
    """Start the server and report it; gives its process id, or None when it could not be started."""
    account = order["account"]
    try:
        server = subprocess.Popen(  # noqa: S603 - the command is made by the launcher
            order["command"],
            stdin=subprocess.DEVNULL,
            stdout=2,
            env=order["environment"],
            cwd="/",
            start_new_session=True,
            preexec_fn=die_with_supervisor(),  # noqa: PLW1509 - this process has one thread
            user=account[0] if account else None,
            group=account[1] if account else None,
            extra_groups=[] if account else None,
        )
    except (OSError, subprocess.SubprocessError) as error:
        os.write(1, f"failed {error}\n".encode())
        return None
    server.returncode = 0  # reap() collects the status; Popen must not look for it
    os.write(1, f"started {server.pid}\n".encode())
    return server.pid


def die_with_supervisor() -> Callable[[], None] | None:
    """Give what the child does before exec; after the change of user, which would undo it."""
    if not LINUX:
        return None
    supervisor, libc = os.getpid(), ctypes.CDLL(None)
    # Servers' children that lose their parent become ours, so that "all gone" can be known.
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def before_exec() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != supervisor:
            os._exit(1)

    return before_exec


def wake_up_on_child_exit() -> int:
    """Give a descriptor that becomes readable when a child ends; stray signals do nothing to us."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # a handler, unlike SIG_IGN, is not inherited by the server
    signal.set_wakeup_fd(writer)
    return reader


def read_line() -> bytes:
    """Read one line byte by byte, so that nothing is held back where select() cannot see it."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def reap() -> bool:
    """Collect ended children; false when none is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def send(server: int, number: int) -> None:
    """Signal the server; stopping, continuing and killing concern its children too."""
    if number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL):
        if number != signal.SIGCONT:
            os.kill(server, signal.SIGSTOP)  # from here on it has no new children
        for pid in descendants(os.getpid()):
            os.kill(pid, number)
    else:
        os.kill(server, number)


def end(server: int, order: Order, wake_up: int) -> None:
    """End the server politely, and after `ending_seconds` by force."""
    send(server, signal.SIGCONT)
    send(server, order["ending_signal"])
    deadline = time.monotonic() + order["ending_seconds"]
    while reap():
        left = deadline - time.monotonic()
        if left <= 0:
            send(server, signal.SIGKILL)
            deadline = time.monotonic() + PARENT_CHECK_SECONDS
        elif select.select([wake_up], [], [], left)[0]:
            os.read(wake_up, 4096)


def descendants(ancestor: int) -> list[int]:
    """Give the process ids below `ancestor`, parents before their children."""
    children: dict[int, list[int]] = {}
    for pid, parent in process_table():
        children.setdefault(parent, []).append(pid)
    found = list(children.get(ancestor, []))
    for pid in found:  # grows while it is walked
        found.extend(children.get(pid, []))
    return found


def process_table() -> list[tuple[int, int]]:
    """Give (process id, parent's id) of every living process."""
    if not LINUX:
        listing = subprocess.run(
            ["/bin/ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=True
        ).stdout
        rows = [line.split() for line in listing.splitlines()]
        return [(int(pid), int(parent)) for pid, parent in rows]
    table = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (process / "stat").read_bytes().rpartition(b")")[2].split()[:2]
        except OSError:
            continue  # it has just ended
        if state != b"Z":
            table.append((int(process.name), int(parent)))
    return table


if __name__ == "__main__":
    supervise(json.loads(read_line()))
