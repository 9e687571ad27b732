"""Where an embedded server lives and as whom: its private folder, its account, its wheel."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from services.embedded.launcher import Account, EmbeddedServerError

LONGEST_BASE = 60  # a Unix socket's path may have 103 characters at most


def wheel_folder(package: str) -> Path:
    """Find an installed package without importing it.

    Raises EmbeddedServerError when the system is not supported or the package is not installed.
    """
    if sys.platform not in ("linux", "darwin"):
        raise EmbeddedServerError(
            f"embedded servers run on Linux and macOS, not on {sys.platform}: set REDIS_URL and DATABASE_URL"
        )
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedServerError(
            f"the package {package} is not installed: pip install -r requirements-demo.txt, "
            "or set REDIS_URL and DATABASE_URL to servers of your own"
        )
    return Path(spec.submodule_search_locations[0])


def unprivileged_account() -> Account | None:
    """Give `nobody` when we are root (PostgreSQL refuses to run as root), else None: as we are."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise EmbeddedServerError(
            "PostgreSQL does not run as root and there is no user nobody: start as an ordinary user"
        ) from error
    return Account(nobody.pw_uid, nobody.pw_gid)


def private_folder(account: Account | None = None) -> Path:
    """Make a new 0700 folder of the account's own, below a temporary folder that the account can reach."""
    bases = ["/tmp", "/var/tmp"]  # noqa: S108 - mkdtemp is safe there
    with contextlib.suppress(FileNotFoundError):  # there is none that can be written to
        bases.insert(0, tempfile.gettempdir())
    bases = [base for base in bases if len(base) <= LONGEST_BASE]
    for base in map(Path, bases):
        if base.is_dir() and os.access(base, os.W_OK) and (account is None or open_to_all(base)):
            folder = Path(tempfile.mkdtemp(prefix="strategy-worker-", dir=base))
            give(folder, account)
            return folder
    raise EmbeddedServerError(
        f"no temporary folder is usable for an embedded server, tried {', '.join(bases)}"
    )


def open_to_all(folder: Path) -> bool:
    """Tell whether every user may pass through the folder and all above it."""
    resolved = folder.resolve()
    return all(place.stat().st_mode & stat.S_IXOTH for place in (resolved, *resolved.parents))


def give(path: Path, account: Account | None) -> None:
    """Make the account the owner of the path; nothing when the server runs as we are."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def write_secret(path: Path, text: str, account: Account | None = None) -> None:
    """Write a 0600 file of the account's own, at no moment readable by others; replaces an older one."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    give(path, account)


def copy_for_all(source: Path, target: Path, *leave_out: str) -> None:
    """Copy a folder so that every user can read and run what is in it, whatever the modes of the original."""

    def copy_file(origin: str, copy: str) -> None:
        shutil.copyfile(origin, copy)
        Path(copy).chmod(0o755)

    shutil.copytree(source, target, copy_function=copy_file, ignore=shutil.ignore_patterns(*leave_out))
    for folder, _, _ in os.walk(target):
        Path(folder).chmod(0o755)
