"""Strategies that write down what they are told before they decide; what they decide lies in the bar."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from models.execution import ExecutionReport
from models.gap import Gap
from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy

JOURNALS = "journals"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # so long ago that no run gets to the future
# CPython keeps so many freed tuples of each length below that: PyTuple_MAXFREELIST, PyTuple_MAXSAVESIZE + 1.
FREE_TUPLES, FREE_LENGTHS = 2000, 21


def fill_free_lists() -> None:
    """Let the interpreter keep all the tuples that it ever will: what a soak sees grow is the worker then."""
    for length in range(1, FREE_LENGTHS):
        _ = [(*range(length),) for _ in range(FREE_TUPLES)]


fill_free_lists()


class Listens(BaseStrategy):
    """Writes a line per event into `journals/<session>` beside this file; the kernel keeps it over a kill."""

    every: ClassVar[int] = 0

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        path = Path(__file__).with_name(JOURNALS) / (session_id or strategy_id)
        self._journal = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def on_bar(self, bar: Bar) -> None:
        minute = int((bar.timestamp - EPOCH).total_seconds()) // 60
        self._write("bar", str(minute))
        if self.every and minute % self.every == 0:
            self.send_signal("BUY", bar.close, 1)

    def on_trade(self, trade: Trade) -> None:
        self._write("trade", str(trade.seq))

    def on_execution(self, report: ExecutionReport) -> None:
        self._write("report", f"{report.signal_id}:{report.status}")

    def on_gap(self, gap: Gap) -> None:
        self._write("gap", f"{gap.stream}:{gap.reason}".replace(" ", "_"))

    def on_stop(self) -> None:
        os.close(self._journal)

    def _write(self, kind: str, what: str) -> None:
        os.write(self._journal, f"{kind} {time.monotonic():.6f} {what}\n".encode())


class Decides(Listens):
    """Sends a signal on every bar."""

    every = 1


class DecidesSeldom(Listens):
    """Sends a signal on every fifth minute."""

    every = 5
