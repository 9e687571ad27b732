"""The small process between the demo and one of its programs: `python -I -S child_keeper.py`.

It is run as a script and imports nothing but the standard library. Like the supervisor of an embedded server
it learns of its parent's end by the end of its standard input, on every system; unlike that one it hands on
how its program ended, because the demo wants the worker's exit code.

First line of stdin: a JSON `Order`. End of stdin: the program is ended, with SIGTERM and after
`ending_seconds` with SIGKILL. Exit code: the program's, or 128 and the number of the signal that ended it.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from threading import Thread
from typing import TypedDict

PR_SET_PDEATHSIG = 1
KILLED = 128


class Order(TypedDict):
    """What to run: the environment holds nothing but what is named here, the output goes to our stderr."""

    command: list[str]
    environment: dict[str, str]
    ending_seconds: float


def keep(order: Order) -> int:
    """Run the program until it, or the parent, ends; return its exit code."""
    program = subprocess.Popen(  # noqa: S603 - the command is made by the demo
        order["command"],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        env=order["environment"],
        cwd="/",  # where there is no .env
        preexec_fn=die_with_keeper(),  # noqa: PLW1509 - this process has one thread yet
    )
    Thread(target=end_with_parent, args=(program, order["ending_seconds"]), daemon=True).start()
    code = program.wait()
    return code if code >= 0 else KILLED - code


def end_with_parent(program: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Wait for the end of our standard input, then end the program."""
    sys.stdin.read()
    program.terminate()
    try:
        program.wait(seconds)
    except subprocess.TimeoutExpired:
        program.kill()


def die_with_keeper() -> Callable[[], None] | None:
    """Give what the program does before it begins, so that it never outlives a keeper that is killed."""
    if sys.platform != "linux":
        return None
    keeper, libc = os.getpid(), ctypes.CDLL(None)

    def before_exec() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != keeper:
            os._exit(1)

    return before_exec


if __name__ == "__main__":
    sys.exit(keep(json.loads(sys.stdin.readline())))
