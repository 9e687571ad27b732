"""What became of a session's signals since its state was saved."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from models.execution import ExecutionReport
from models.position import Position
from models.signal import Signal
from services.db_client import Database

SINCE = """
    SELECT body, report FROM signals
    WHERE session_key = %s AND (signal_id = ANY(%s) OR created_at > %s) ORDER BY number
"""


class PastSignal(Struct, frozen=True):
    """A signal of a session and its answer, None while there is none."""

    signal_id: str
    action: str
    quantity: float
    report: ExecutionReport | None = None


class SignalHistory(Protocol):
    """Knows which signals a session sent."""

    def since(self, session_key: str, open_signals: Sequence[str], moment: datetime) -> list[PastSignal]:
        """Return these signals and those decided after `moment`, as far as they are known, in order.

        Raises StorageUnavailable.
        """


class UnansweredSignals:
    """The signals that are on their way in this process: all that is known without a database."""

    def __init__(self, unfinished: Callable[[], Iterable[Signal]]) -> None:
        self._unfinished = unfinished

    def since(self, session_key: str, open_signals: Sequence[str], moment: datetime) -> list[PastSignal]:
        """Return the session's signals on their way."""
        del open_signals, moment  # whatever they are, nothing more is known
        return [
            PastSignal(signal.signal_id, signal.action, signal.quantity)
            for signal in self._unfinished()
            if signal.session_key == session_key
        ]


class RecordedSignals:
    """The signals of the table `signals`, and those that are still to be written there."""

    def __init__(self, database: Database, unfinished: Callable[[], Iterable[Signal]]) -> None:
        self._database = database
        self._unwritten = UnansweredSignals(unfinished)

    def since(self, session_key: str, open_signals: Sequence[str], moment: datetime) -> list[PastSignal]:
        """Return the session's signals. Raises StorageUnavailable, ConfigError without table."""
        waiting = self._unwritten.since(session_key, open_signals, moment)  # first: one may be written now
        with self._database.transaction() as cursor:
            cursor.execute(SINCE, (session_key, list(open_signals), moment))
            rows = [_past(*row) for row in cursor.fetchall()]
        written = {each.signal_id for each in rows}
        return rows + [each for each in waiting if each.signal_id not in written]


def carry_on(position: Position, signals: Iterable[PastSignal]) -> tuple[Position, set[str]]:
    """Return a saved position once these signals are counted, and which of them have no answer.

    What the saved position expected is left behind: a signal that nobody knows of never comes.
    """
    position = replace(position, unanswered=0, ahead=0.0)
    waiting = []
    for each in signals:
        if each.report is None:
            waiting.append(each)
        else:
            position = position.after_report(each.report)
    expected = position.quantity + sum(
        each.quantity if each.action == "BUY" else -each.quantity for each in waiting
    )
    if waiting:
        position = replace(position, unanswered=len(waiting), ahead=expected)
    return position, {each.signal_id for each in waiting}


def _past(body: dict[str, object], report: dict[str, object] | None) -> PastSignal:
    return PastSignal(
        str(body["signalId"]),
        str(body["action"]),
        float(str(body["quantity"])),
        None if report is None else msgspec.convert(report, ExecutionReport),
    )
