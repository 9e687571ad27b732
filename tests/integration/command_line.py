"""Runs one verb of `python main.py`: as a shell does, or within this process, where that shows the same."""

import io
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog

from services.commands.app import run
from services.stop_signal import StopSignal
from tests.support import REPOSITORY, needed_environment, running_process


class Ended(NamedTuple):
    """How a command ended, and what it wrote to stdout and stderr."""

    code: int
    output: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)


def command(*words: str, **settings: str) -> Ended:
    """Run a verb with these words and settings, in an empty folder: no .env decides a test.

    Not as a process of its own: to start one takes longer than most verbs, and shows nothing that
    `program` does not show.
    """
    written = io.StringIO()
    with ExitStack() as stack:
        stack.enter_context(_surroundings(settings))
        stack.enter_context(redirect_stdout(written))
        stack.enter_context(redirect_stderr(written))
        code = run(words, StopSignal())
    return Ended(code, written.getvalue())


def program(*words: str, **settings: str) -> Ended:
    """Run `python main.py` as a process of its own, otherwise as `command` does."""
    with (
        tempfile.TemporaryDirectory(prefix="command-under-test-") as folder,
        running_process(
            [sys.executable, str(REPOSITORY / "main.py"), *words],
            {"COLUMNS": "200", **settings},
            cwd=Path(folder),
        ) as process,
    ):
        return Ended(process.wait(), process.output)


@contextmanager
def _surroundings(settings: Mapping[str, str]) -> Iterator[None]:
    """Have what a process of its own has: environment, folder, logging."""
    environment = {**needed_environment(), "COLUMNS": "200", **settings}
    root, logged = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers.copy(), root.level
    with (
        tempfile.TemporaryDirectory(prefix="command-under-test-") as folder,
        pytest.MonkeyPatch.context() as patch,
        chdir(folder),
        warnings.catch_warnings(),
    ):
        for name in os.environ.keys() - environment.keys():
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            yield
        finally:
            logging.captureWarnings(capture=False)
            structlog.configure(**logged)
            root.handlers[:] = handlers
            root.setLevel(level)
