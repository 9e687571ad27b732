"""What tests of every kind lean on: waiting for a condition, ports, and processes that are surely ended."""

import os
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parent.parent
POLL_SECONDS = 0.01
# The last two: some interpreters find their own library by them.
NEEDED_VARIABLES = ("PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
ENDING_SECONDS = 3.0
# Below the ephemeral range, and apart from the ports of the embedded servers (12000 to 20000).
PORTS = range(20_000, 32_000)
PORTS_PER_WORKER = 1_000


def eventually(
    condition: Callable[[], T | None],
    seconds: float = 10.0,
    message: str = "",
    pause: float = POLL_SECONDS,
) -> T:
    """Ask again and again until the answer is truthy, and give it; AssertionError when time is up.

    `pause` is between two questions; a longer one is for those that cost much.
    """
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{message or 'the condition'}: still {answer!r} after {seconds} s")
        time.sleep(pause)
    return answer


def _ports_of_this_worker() -> Iterator[int]:
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = PORTS.start + number % (len(PORTS) // PORTS_PER_WORKER) * PORTS_PER_WORKER
    ports = list(range(first, first + PORTS_PER_WORKER))
    random.SystemRandom().shuffle(ports)  # two runs at a time on one machine seldom meet
    return iter(ports)


_ports = _ports_of_this_worker()


def free_port() -> int:
    """Give a port of 127.0.0.1 that nobody listens on; never the same twice, nor one of a parallel worker."""
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("this test run has used up its ports")


class RunningProcess:
    """A process under test; what it writes goes to a file, so that it never waits for a reader."""

    def __init__(self, process: subprocess.Popen[bytes], written: Path) -> None:
        self._process = process
        self._written = written

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        """Everything it wrote until now, to stdout and stderr."""
        return self._written.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def said(self, start: str, seconds: float = 30.0) -> str:
        """Wait for a whole line that starts like this and give it; fails at once if the process has ended."""

        def found() -> str:
            ended = not self.running  # asked first: what it wrote before its end counts
            for line in self.output.splitlines(keepends=True):
                if line.startswith(start) and line.endswith("\n"):
                    return line
            assert not ended, f"it ended and never said {start!r}; it wrote:\n{self.output[-4000:]}"
            return ""

        return eventually(found, seconds, f"a line that starts with {start!r}").rstrip("\n")

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def wait(self, seconds: float = 30.0) -> int:
        """Wait for its end and give its exit code (minus the signal's number, if a signal ended it)."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"still running after {seconds} s; it wrote:\n{self.output[-4000:]}"
            ) from None


def needed_environment() -> dict[str, str]:
    """What of our own environment every program needs."""
    return {name: os.environ[name] for name in NEEDED_VARIABLES if name in os.environ}


@contextmanager
def running_process(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    cwd: Path = REPOSITORY,
    account: tuple[int, int] | None = None,
    ending_seconds: float = ENDING_SECONDS,
) -> Iterator[RunningProcess]:
    """Run a command, e.g. `[sys.executable, "main.py"]`; at the end it is ended by its id, if it still runs.

    Its environment is `env` and what a program needs at least, nothing else of ours: a developer's own
    settings must not decide a test. `account` (user id, group id) makes root run it as somebody else.
    A process that leaves nothing behind when it is killed needs no `ending_seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="process-under-test-") as folder:
        written = Path(folder) / "output"
        with written.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - the test's own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**needed_environment(), **(env or {})},
                cwd=cwd,
                start_new_session=True,
                user=account[0] if account else None,
                group=account[1] if account else None,
                extra_groups=[] if account else None,
            )
        try:
            yield RunningProcess(process, written)
        finally:
            _end(process, ending_seconds)


def _end(process: subprocess.Popen[bytes], seconds: float) -> None:
    if process.poll() is not None:
        return
    if seconds > 0:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    process.kill()
    process.wait()
