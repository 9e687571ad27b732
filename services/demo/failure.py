"""What stops a demo."""

from pathlib import Path

from models.errors import StrategyWorkerError


class DemoFailed(StrategyWorkerError):
    """The demo cannot go on; the message says why, and `tail`, the end of the log at `log`, may say more."""

    def __init__(self, message: str, *, log: Path | None = None, tail: str = "") -> None:
        super().__init__(message)
        self.log = log
        self.tail = tail
