"""The life of an embedded server: started, ready, paused, killed, restarted, stopped."""

import atexit
import itertools
import os
import shutil
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from services.embedded.launcher import Account, EmbeddedServerError, Launch, ServerProcess, free_ports
from services.embedded.places import private_folder

PORT_ATTEMPTS = 10
POLL_SECONDS = 0.01
READY_SECONDS = 30.0
PORT_TAKEN = "Address already in use"

log = structlog.get_logger(__name__)


class EmbeddedServer(ABC):
    """A server of our own on 127.0.0.1, in a private 0700 folder, ended with this process.

    `ports` are tried in their order until one is free; by default random free ones. One thread at a time may
    use an object; the server itself does not depend on the thread that started it.
    """

    name: str

    def __init__(self, *, ports: Iterator[int] | None = None) -> None:
        self._ports = ports
        self._folder: Path | None = None
        self._port: int | None = None
        self._process: ServerProcess | None = None
        self._owner: int | None = None

    # What a server is made of.

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL to connect with, password included: never log it."""

    def _account(self) -> Account | None:
        """Whom the server runs as; None: as we are."""
        return None

    @abstractmethod
    def _prepare(self, folder: Path) -> None:
        """Write what the server needs into the folder; called before the first start."""

    @abstractmethod
    def _launch(self, folder: Path, port: int) -> Launch:
        """Say how to run the server on this port."""

    @abstractmethod
    def _is_ready(self, folder: Path, pid: int) -> bool:
        """Tell whether this very process answers on its port."""

    # Its life.

    def start(self) -> Self:
        """Start and wait until it answers; nothing when it runs already.

        Raises EmbeddedServerError with the end of the server's log when it does not come up.
        """
        if self._process is not None:
            return self
        self._owner = os.getpid()
        atexit.register(self.stop)
        try:
            self._folder = private_folder(self._account())
            self._prepare(self._folder)
            self._start_on_a_free_port(self._folder)
        except BaseException:
            self.stop()
            raise
        log.debug("embedded_server_started", server=self.name, port=self._port, pid=self.pid)
        return self

    def stop(self) -> None:
        """End the server and remove its private folder; does nothing in a forked child."""
        if self._owner != os.getpid():
            return
        atexit.unregister(self.stop)
        if self._process is not None:
            self._process.end()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._process = self._folder = self._port = None

    def restart(self) -> None:
        """Stop if it still runs and start again: same port, same URL, same folder."""
        if self._folder is None or self._port is None:
            raise EmbeddedServerError(f"{self.name} was never started")
        if self._process is not None:
            self._process.end()
        if not self._came_up(self._folder, self._port):
            raise EmbeddedServerError(
                f"{self.name} cannot restart: its port {self._port} was taken meanwhile"
            )

    def kill(self) -> None:
        """End it at once with SIGKILL, children included; its folder stays for restart()."""
        process = self._running()
        process.send(signal.SIGKILL)
        process.wait(READY_SECONDS)

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers any more (SIGSTOP)."""
        self._running().send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self._running().send(signal.SIGCONT)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1; the same after a restart."""
        if self._port is None:
            raise EmbeddedServerError(f"{self.name} is not running")
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the server itself."""
        return self._running().pid

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} port={self._port}>"

    def _running(self) -> ServerProcess:
        if self._process is None:
            raise EmbeddedServerError(f"{self.name} is not running")
        return self._process

    def _start_on_a_free_port(self, folder: Path) -> None:
        for port in itertools.islice(self._ports or free_ports(), PORT_ATTEMPTS):
            if self._came_up(folder, port):
                self._port = port
                return
        raise EmbeddedServerError(f"{self.name} found no free port in {PORT_ATTEMPTS} attempts")

    def _came_up(self, folder: Path, port: int) -> bool:
        """Start on this port; false when somebody else was quicker there."""
        launch = self._launch(folder, port)
        launch.log.unlink(missing_ok=True)
        process = self._process = ServerProcess(launch)
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready(folder, process.pid):
            ended = process.wait(POLL_SECONDS)
            if ended and PORT_TAKEN in process.log_tail():
                return False
            if ended or time.monotonic() > deadline:
                what = "ended while starting" if ended else f"was not ready within {READY_SECONDS:.0f} s"
                raise EmbeddedServerError(f"{self.name} {what}; its log ends with:\n{process.log_tail()}")
        return True
