"""Where it is kept what a worker was doing when it froze or crashed: one file a run, in a private folder.

A run's file is empty, and is removed when the run ends in order. What is found at a start with nobody's lock
on it was left by a run that did not.
"""

import fcntl
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import urlsplit

import structlog

SUFFIX = ".stacks"
READ_BYTES = 1 << 20

log = structlog.get_logger(__name__)


class Record(NamedTuple):
    """The file of a run that goes on, open for what is to be written at its end."""

    path: Path
    file: BinaryIO


class Left(NamedTuple):
    """What a run left behind: its file, when that was written last (Unix seconds), and what stands in it."""

    path: Path
    written_at: float
    text: str


class Records:
    """The files of the workers that share one Redis, so of the same sessions.

    They are in a folder of this user's own below `run_path`, by default below the temporary one. Where that
    cannot be made safely the runs go unrecorded, which the log says.
    """

    def __init__(self, run_path: Path | None, redis_url: str) -> None:
        parts = urlsplit(redis_url)
        where = f"{parts.hostname}:{parts.port}{parts.path}"  # without the password, which may change
        self._run_path = run_path
        self._key = sha256(where.encode()).hexdigest()[:16]
        self._own: Record | None = None

    def begin(self) -> Record | None:
        """Begin this run's file and return it, open and locked; None where there can be none."""
        try:
            folder = private_folder(self._run_path)
            while self._own is None:
                path = folder / f"{self._key}-{secrets.token_hex(8)}{SUFFIX}"
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
                file = os.fdopen(os.open(path, flags, 0o600), "ab", buffering=0)
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(
                    file.fileno()
                ).st_nlink:  # else another run has just cleared it away as left behind
                    self._own = Record(path, file)
        except OSError as error:
            log.warning(
                "freezes_not_recorded",
                reason=str(error),
                advice="set RUN_PATH to a folder that this user may write and that outlives a restart",
            )
        return self._own

    def left_behind(self) -> list[Left]:
        """Return what ended runs left, oldest first; files of theirs that tell nothing are removed."""
        left: list[Left] = []
        try:
            paths = list(private_folder(self._run_path).glob(f"*{SUFFIX}"))
        except OSError:
            return left  # `begin` says so
        for path in paths:
            with suppress(OSError):  # another run was quicker to clear it away
                text = _read_unlocked(path)
                if text == "":
                    path.unlink(missing_ok=True)
                elif text is not None and path.name.startswith(self._key):
                    left.append(Left(path, path.stat().st_mtime, text))
        return sorted(left, key=lambda each: each.written_at)

    def end(self) -> None:
        """Remove this run's file: it ends in order."""
        if self._own is not None:
            with suppress(OSError):
                self._own.path.unlink(missing_ok=True)
            self._own.file.close()
            self._own = None


def private_folder(run_path: Path | None) -> Path:
    """Return the folder of this user alone below `run_path`, making it where it is not there.

    Raises OSError where that fails, or where what is there is somebody else's, a link, or open to others.
    """
    base = Path(tempfile.gettempdir()) if run_path is None else run_path
    folder = base / f"strategy-worker-{os.geteuid()}"
    base.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder that only this user can open; remove it")
    return folder


def _read_unlocked(path: Path) -> str | None:
    """Return what stands in a file; None when the run that writes it is alive."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return os.read(descriptor, READ_BYTES).decode(errors="replace")
    except BlockingIOError:
        return None
    finally:
        os.close(descriptor)
