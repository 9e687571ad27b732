"""A program that the demo runs beside itself, with its log in a file and its end tied to ours."""

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from services.demo import child_keeper
from services.demo.failure import DemoFailed

LOG_TAIL_LINES = 15
ENDED_SECONDS = 2.0  # until the end of a program is known, after what it did for others has ended
GRACE_SECONDS = 5.0  # of the keeper, beyond the time that its program has to end


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run: `environment` is all that it sees, so that nobody's own settings decide the demo."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    ending_seconds: float = 20.0


class Child:
    """A program that runs from `with` on, and ends with it or with us, even when we are killed.

    It is in a session of its own, so that a Ctrl-C in the terminal reaches only the demo.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        program = self._program
        with program.log.open("wb") as log:
            self._keeper = subprocess.Popen(  # noqa: S603 - this interpreter, a file of ours
                [sys.executable, "-I", "-S", child_keeper.__file__],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        order: child_keeper.Order = {
            "command": program.command,
            "environment": dict(program.environment),
            "ending_seconds": program.ending_seconds,
        }
        if self._keeper.stdin is not None:
            self._keeper.stdin.write(f"{json.dumps(order)}\n".encode())
            self._keeper.stdin.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """End the program with SIGTERM, and by force when it takes too long; return its exit code."""
        keeper = self._keeper
        if keeper is None:
            return 0
        if keeper.stdin is not None:
            keeper.stdin.close()
        try:
            return keeper.wait(self._program.ending_seconds + GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            keeper.kill()  # which takes the program along
            return keeper.wait()

    def end(self, seconds: float) -> int:
        """Wait for the program to end by itself, for so long at most; return its exit code."""
        if self._keeper is not None:
            with suppress(subprocess.TimeoutExpired):
                return self._keeper.wait(seconds)
        return self.stop()

    def check(self) -> None:
        """Raise DemoFailed, with the end of the log, when the program has ended."""
        if self._keeper is not None and self._keeper.poll() is not None:
            raise self.failure("ended")

    def failure(self, what: str) -> DemoFailed:
        """Make an error of what is wrong with the program, or rather of its end, with the end of its log."""
        if self._keeper is not None:
            with suppress(subprocess.TimeoutExpired):  # what has just died may not be known to have ended
                what = f"ended with exit code {self._keeper.wait(ENDED_SECONDS)}"
        return DemoFailed(f"the {self._program.name} {what}", log=self._program.log, tail=self._log_tail())

    def _log_tail(self) -> str:
        lines = self._program.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])
