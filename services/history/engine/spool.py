"""A folder of our own for a while: gone with whoever made it, even where that one was killed."""

import fcntl
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PREFIX = "strategy-worker-universe-"
FRESH_SECONDS = 600.0


class Spool:
    """One file in a temporary folder. What killed processes left behind of such folders goes, too.

    Whoever lives holds a lock on its file, so what nobody holds is left behind.
    """

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX)
        self.path = Path(self._folder.name) / "rows"
        self.file = self.path.open("wb")
        fcntl.flock(self.file, fcntl.LOCK_SH)

    def close(self) -> None:
        """Take the folder away."""
        self.file.close()
        self._folder.cleanup()


def _sweep(folder: Path) -> None:
    for left in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):  # gone meanwhile, or somebody else's
            if time.time() - left.stat().st_mtime > FRESH_SECONDS and not _is_held(left / "rows"):
                shutil.rmtree(left)


def _is_held(file: Path) -> bool:
    """Tell whether somebody holds a lock on a file."""
    if not file.exists():
        return False
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
