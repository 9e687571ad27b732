"""Start a server program under a supervisor, and reach it safely by its process id.

The supervisor (supervisor.py) may be started from any thread: it does not depend on the thread that made it,
only on this process. Signals go through it, because it alone knows that a process id still means the server.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.errors import ConfigError

SUPERVISOR = Path(__file__).with_name("supervisor.py")
# Below every system's ephemeral range (32768 on Linux, 49152 on macOS). In that range an outgoing connection
# can take the port of a server that restarts, and a client may even connect to itself.
PORTS = range(12_000, 20_000)
CLEAN_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
LOADER_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
LOG_TAIL_BYTES = 2_000


class EmbeddedServerError(ConfigError):
    """An embedded server is missing or does not start; the message says why, with the end of its log."""


@dataclass(frozen=True)
class Account:
    """The user and group a server runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Launch:
    """One server program: what to run, as whom (None: as we are), and how to end it."""

    command: list[str]
    folder: Path
    log: Path
    account: Account | None = None
    ending_signal: signal.Signals = signal.SIGTERM
    ending_seconds: float = 5.0


class ServerProcess:
    """A running server program. It is alone in its session, so a Ctrl-C in the terminal does not reach it.

    Raises EmbeddedServerError when the program cannot be run at all.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._supervisor = self._start_supervisor()
        answer = self._ask_for_start()
        if not answer.startswith("started "):
            self._supervisor.kill()
            self.wait(launch.ending_seconds)
            reason = answer.removeprefix("failed ").strip() or self.log_tail()
            raise EmbeddedServerError(f"cannot run {launch.command[0]}: {reason}")
        self.pid = int(answer.split()[1])

    def _start_supervisor(self) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in LOADER_VARIABLES if name in os.environ}
        with self._launch.log.open("ab") as log:
            try:
                return subprocess.Popen(  # noqa: S603 - this interpreter, a file of ours
                    [sys.executable, "-I", "-S", str(SUPERVISOR)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=environment,
                    cwd="/",
                    bufsize=0,
                    start_new_session=True,
                )
            except OSError as error:
                raise EmbeddedServerError(f"cannot run the interpreter {sys.executable}: {error}") from error

    def _ask_for_start(self) -> str:
        launch = self._launch
        order = {
            "command": launch.command,
            "environment": CLEAN_ENVIRONMENT,
            "account": (launch.account.uid, launch.account.gid) if launch.account else None,
            "parent": os.getpid(),
            "ending_signal": launch.ending_signal,
            "ending_seconds": launch.ending_seconds,
            "remove": str(launch.folder),
        }
        return self._ask(json.dumps(order))

    def _ask(self, line: str) -> str:
        """Say a line to the supervisor and give its answer; empty when it and the server have left."""
        questions, answers = self._supervisor.stdin, self._supervisor.stdout
        if questions is None or answers is None or questions.closed:
            return ""
        try:
            questions.write(f"{line}\n".encode())
            return answers.readline().decode(errors="replace")
        except BrokenPipeError:
            return ""

    def send(self, number: signal.Signals) -> None:
        """Signal the server (SIGSTOP, SIGCONT and SIGKILL: its children too); nothing if it has ended."""
        self._ask(str(int(number)))

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for the server's end; true when it and its children are gone."""
        try:
            self._supervisor.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        for pipe in (self._supervisor.stdin, self._supervisor.stdout):
            if pipe is not None:
                pipe.close()
        return True

    def end(self) -> None:
        """End the server politely, then by force; a paused server is continued first."""
        self.send(signal.SIGCONT)
        self.send(self._launch.ending_signal)
        if self.wait(self._launch.ending_seconds):
            return
        self.send(signal.SIGKILL)
        if not self.wait(self._launch.ending_seconds):
            self._supervisor.kill()
            self._supervisor.wait()

    def log_tail(self) -> str:
        """Give the last lines of the server's log."""
        tail = self._launch.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        return tail.strip() or "(its log is empty)"


def free_ports() -> Iterator[int]:
    """Give random ports of 127.0.0.1 that were free a moment ago; another program may still be quicker."""
    while True:
        port = secrets.choice(PORTS)  # `random` may be seeded alike in processes that run side by side
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
