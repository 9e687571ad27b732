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

import contextlib
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


class Family:
    """The server and its children, who on Linux become ours when they lose the server."""

    def __init__(self, server: int) -> None:
        self.server = server
        self.server_left = False

    def reap(self) -> bool:
        """Collect those who ended; false when nobody is left."""
        try:
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self.server_left |= pid == self.server
        except ChildProcessError:
            return False
        return True

    def send(self, number: int) -> None:
        """Signal the server; stopping, continuing and killing concern its children too.

        An ended process keeps its id until reap(), so that no stranger can be hit.
        """
        if number in (signal.SIGSTOP, signal.SIGKILL):
            self._send_server(signal.SIGSTOP)  # from here on it has no new children
        if number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL):
            for pid in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        self._send_server(number)

    def _send_server(self, number: int) -> None:
        if not self.server_left:
            os.kill(self.server, number)

    def end(self, order: Order, wake_up: int) -> None:
        """End politely, and after `ending_seconds` by force."""
        self.send(signal.SIGCONT)
        self.send(order["ending_signal"])
        deadline = time.monotonic() + order["ending_seconds"]
        while self.reap():
            left = deadline - time.monotonic()
            if left <= 0:
                self.send(signal.SIGKILL)
                deadline = time.monotonic() + PARENT_CHECK_SECONDS
            elif select.select([wake_up], [], [], left)[0]:
                os.read(wake_up, 4096)


def supervise(order: Order) -> None:
    """Run the server until it, or the parent, ends."""
    wake_up = wake_up_on_child_exit()
    server = start(order)
    if server is None:
        return
    family = Family(server)
    while family.reap():
        ready, _, _ = select.select([0, wake_up], [], [], PARENT_CHECK_SECONDS)
        if wake_up in ready:
            os.read(wake_up, 4096)
        line = read_line() if 0 in ready else b"0"
        if not line or os.getppid() != order["parent"]:
            family.end(order, wake_up)
            shutil.rmtree(order["remove"], ignore_errors=True)
            return
        if int(line):
            family.send(int(line))
            say("sent")


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
            preexec_fn=die_with_supervisor(),  # noqa: PLW1509 - this process has one thread
            user=account[0] if account else None,
            group=account[1] if account else None,
            extra_groups=[] if account else None,
        )
    except (OSError, subprocess.SubprocessError) as error:
        say(f"failed {error}")
        return None
    server.returncode = 0  # Family.reap collects the status; Popen must not look for it
    say(f"started {server.pid}")
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


def say(line: str) -> None:
    """Answer the parent; if it has vanished meanwhile, the end of stdin will tell."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{line}\n".encode())


def read_line() -> bytes:
    """Read one line byte by byte, so that nothing is held back where select() cannot see it."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


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
