"""Runs one verb of `python main.py` as a shell does."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import REPOSITORY, running_process


class Ended(NamedTuple):
    """How a command ended, and what it wrote to stdout and stderr."""

    code: int
    output: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)


def command(*words: str, **settings: str) -> Ended:
    """Run `python main.py` with these words and settings, in an empty folder: no .env decides a test."""
    with (
        tempfile.TemporaryDirectory(prefix="command-under-test-") as folder,
        running_process(
            [sys.executable, str(REPOSITORY / "main.py"), *words],
            {"COLUMNS": "200", **settings},
            cwd=Path(folder),
        ) as process,
    ):
        return Ended(process.wait(), process.output)
