"""Where the servers of the tests keep their files: in memory where there is room.

A PostgreSQL is a thousand files, which a file system on a disk is slow to make and remove.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - only looked at; what is made there is a folder of our own
NEEDED_BYTES = 4 << 30
FOR_ALL = 0o1777  # as root the servers run as somebody else


def use_memory(folder: Path = MEMORY) -> Callable[[], None]:
    """Have temporary files of this process, and of those it starts, made in memory; return what ends that.

    Nothing changes where the environment names a TMPDIR, or memory is short or may not hold programs. What
    pytest makes for tests to write into stays where it was, so that it can be looked at afterwards.
    """
    if "TMPDIR" in os.environ or not _has_room(folder):
        return lambda: None
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    quick = tempfile.mkdtemp(prefix="tests-", dir=folder)
    Path(quick).chmod(FOR_ALL)
    os.environ["TMPDIR"] = tempfile.tempdir = quick

    def leave() -> None:
        del os.environ["TMPDIR"]
        tempfile.tempdir = None
        shutil.rmtree(quick, ignore_errors=True)

    return leave


def _has_room(folder: Path) -> bool:
    try:
        place = os.statvfs(folder)
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return False  # another system
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    is_open = os.access(folder, os.W_OK | os.X_OK) and not place.f_flag & (os.ST_NOEXEC | os.ST_RDONLY)
    return is_open and min(place.f_bavail * place.f_frsize, available) >= NEEDED_BYTES
