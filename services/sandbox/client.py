"""The worker's side of its zygote: starts it, has it fork hosts, and hears how they end."""

import itertools
import os
import queue
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, Thread

import msgspec
import structlog

from models.errors import ConfigError
from services.sandbox.orders import (
    Demote,
    Ended,
    Notice,
    NotSpawned,
    Order,
    Ready,
    Refused,
    Send,
    Spawn,
    Spawned,
    Start,
    control_frame,
    decode_notice,
    ended_with_zygote,
)
from services.sandbox.page import CallPage
from services.sandbox.protocol import FrameReader

ZYGOTE = Path(__file__).with_name("zygote.py")
PROJECT = Path(__file__).parents[2]
NEEDED = ("msgspec", "pydantic", "pydantic_core", "structlog", "typing_extensions")
LOADER_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
# One thread each: a process with several cannot be forked. And nothing else of our own environment.
ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
START_SECONDS = 60.0
SPAWN_SECONDS = 10.0
ENDING_SECONDS = 5.0
READ_BYTES = 64 * 1024

log = structlog.get_logger(__name__)


class SandboxUnavailable(ConfigError):
    """Stored code cannot be run here; the message says why, and what to do."""


class HostProcess:
    """A host that runs: its channel, its page, and the ways to reach it that need no word of its own.

    It may end at any time; `kill`, `interrupt`, `pause`, `resume` and `demote` do nothing then. Raises
    OSError where there are no descriptors left.
    """

    def __init__(self, number: int, send: Callable[[Order], None]) -> None:
        self.number = number
        self.pid = 0
        self.page = CallPage()
        try:
            self.channel, self.far_end = socket.socketpair()
        except OSError:
            self.page.close()
            raise
        self._send = send
        self._is_demoted = False

    def begin(self, pid: int) -> None:
        """Note that it runs, as this process, and has its ends of the channel and the page."""
        self.pid = pid
        self.far_end.close()
        self.page.close_descriptor()

    def kill(self) -> None:
        """End it at once."""
        self._send(Send(self.number, signal.SIGKILL))

    def interrupt(self) -> None:
        """Raise StrategyTimedOut in the call under way, if it is in Python."""
        self._send(Send(self.number, signal.SIGUSR1))

    def pause(self) -> None:
        """Stop it until it is resumed."""
        self._send(Send(self.number, signal.SIGSTOP))

    def resume(self) -> None:
        """Have it go on."""
        self._send(Send(self.number, signal.SIGCONT))

    def demote(self) -> None:
        """Have it run from now on when nobody else wants to: only privilege gives a priority back."""
        if not self._is_demoted:
            self._is_demoted = True
            self._send(Demote(self.number))

    def close(self) -> None:
        """Give back what the worker has of it. A host that finds its channel closed ends by itself."""
        self.channel.close()
        self.far_end.close()
        self.page.close()


class Zygote:
    """A zygote of this worker. `spawn`, and what a host offers, may be called by any thread.

    A host takes at most `memory_bytes` more than it was forked with. `lost` is called, after the end of every
    host was told, when the zygote itself has ended without being stopped.
    """

    def __init__(
        self,
        memory_bytes: int,
        modules: tuple[str, ...] = (),
        *,
        sealed: bool = True,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        paths = [str(PROJECT), *_folders_of(*NEEDED, *modules)]
        self._start = Start(paths=paths, modules=list(modules), memory_bytes=memory_bytes, sealed=sealed)
        self._lost = lost
        self._numbers = itertools.count(1)
        self._spawning, self._writing = Lock(), Lock()
        self._ended: dict[int, Callable[[Ended], None]] = {}
        self._answers: queue.SimpleQueue[Notice | None] = queue.SimpleQueue()
        self._control: socket.socket
        self._process: subprocess.Popen[bytes]
        self._stopping = False
        self._thread = Thread(target=self._listen, name="sandbox-zygote", daemon=True)

    def start(self) -> None:
        """Start it and wait until it can fork. Raises SandboxUnavailable."""
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 — this interpreter, a file of ours
                [sys.executable, "-I", "-S", "-B", str(ZYGOTE), msgspec.json.encode(self._start).decode()],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=ENVIRONMENT | {name: os.environ[name] for name in LOADER_VARIABLES if name in os.environ},
                cwd="/",
                start_new_session=True,  # a Ctrl-C in the terminal is none of its business
            )
        self._thread.start()
        answer = self._answer(START_SECONDS)
        if not isinstance(answer, Ready):
            self.stop()
            reason = answer.reason if isinstance(answer, Refused) else "it ended; see its last words above"
            raise SandboxUnavailable(f"stored code cannot run: {reason}")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def spawn(self, ended: Callable[[Ended], None], *, last: bool = False) -> HostProcess:
        """Fork a host, demoted from the start if it is to come `last`.

        `ended` is called once, when it has ended, on a thread of the zygote's. The host says Sealed or
        NotSealed first. Raises SandboxUnavailable when there is no process or descriptor left, or the zygote
        is gone.
        """
        with self._spawning:
            number = next(self._numbers)
            try:
                host = HostProcess(number, self._send)
            except OSError as error:
                raise _not_forked(str(error.strerror)) from None
            self._ended[number] = ended
            try:
                passed = [host.far_end.fileno(), host.page.descriptor]
                with self._writing:
                    socket.send_fds(self._control, [control_frame(Spawn(number, last))], passed)
                answer = self._answer_about(number)
            except OSError:
                answer = None
            if not isinstance(answer, Spawned):
                self._ended.pop(number, None)
                host.close()
                reason = answer.reason if isinstance(answer, NotSpawned) else "its zygote has ended"
                raise _not_forked(reason)
        host.begin(answer.pid)
        return host

    def stop(self) -> None:
        """End it with all its hosts, whose ends are told."""
        self._stopping = True
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        try:
            self._process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(ENDING_SECONDS)
        self._control.close()

    def _send(self, order: Order) -> None:
        with self._writing, suppress(OSError):  # it has ended, and its hosts with it
            self._control.sendall(control_frame(order))

    def _answer_about(self, number: int) -> Notice | None:
        """Return the answer to a spawn, past those to earlier ones that nobody waited for so long."""
        while isinstance(answer := self._answer(SPAWN_SECONDS), Spawned | NotSpawned):
            if answer.number == number:
                break
        return answer

    def _answer(self, seconds: float) -> Notice | None:
        try:
            return self._answers.get(timeout=seconds)
        except queue.Empty:
            return None

    def _listen(self) -> None:
        """Hear the zygote out, on a thread of its own, until it ends."""
        reader = FrameReader()
        while received := self._receive():
            for body in reader.feed(received):
                notice = decode_notice(body)
                if isinstance(notice, Ended):
                    self._tell(notice)
                else:
                    self._answers.put(notice)
        self._answers.put(None)
        for number in list(self._ended):  # they end with their parent
            self._tell(ended_with_zygote(number))
        if not self._stopping:
            self._lost()

    def _receive(self) -> bytes:
        try:
            return self._control.recv(READ_BYTES)
        except OSError:
            return b""

    def _tell(self, notice: Ended) -> None:
        if ended := self._ended.pop(notice.number, None):
            try:
                ended(notice)
            except Exception:  # the next host's end is to be heard of, too
                log.exception("host_end_unheard", number=notice.number)


def _not_forked(reason: str) -> SandboxUnavailable:
    return SandboxUnavailable(f"no process can be forked for stored code: {reason}")


def _folders_of(*packages: str) -> list[str]:
    """Return the folders that these packages are installed in, each once."""
    specs = [find_spec(package) for package in packages]
    origins = [Path(spec.origin) for spec in specs if spec and spec.origin]
    folders = [origin.parents[1 if origin.stem == "__init__" else 0] for origin in origins]
    return list(dict.fromkeys(map(str, folders)))
