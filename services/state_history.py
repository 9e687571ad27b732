"""What became of a session's signals since its state was saved."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from models.execution import ExecutionReport
from models.lease import UNLEASED
from models.position import Position
from models.signal import Signal
from services.db_client import Database
from services.signals.signal_table import FREE

# What may not be in the position: what was decided since, what was on its way then, and what is now.
SINCE = """
    SELECT signal_id, action, body, report, created_at,
        status IN ('pending', 'sending') AND fence < %(fence)s AS is_anothers
    FROM signals
    WHERE session_key = %(session_key)s AND symbol = %(symbol)s AND (
        %(moment)s::timestamptz IS NULL OR created_at > %(moment)s
        OR signal_id = ANY(%(asked_for)s) OR status IN ('pending', 'sending'))
    ORDER BY number
"""


class PastSignal(Struct, frozen=True):
    """A signal of a session and its answer, None while there is none.

    One that is `counted` had its answer before the position was saved, which holds it.
    """

    signal_id: str
    action: str
    quantity: float
    report: ExecutionReport | None = None
    counted: bool = False

    @property
    def is_unresolved(self) -> bool:
        """Whether nobody knows what became of it."""
        return self.report is not None and self.report.status == "unknown"


class Past(Struct, frozen=True, kw_only=True):
    """What is asked about: the signals of a session on a symbol that a saved position may not hold.

    `open_signals` had no answer when it was saved, at `moment`; None asks for every signal there ever was.
    `fence` is the number under which the session is held now.
    """

    session_key: str
    symbol: str
    open_signals: tuple[str, ...] = ()
    moment: datetime | None = None
    fence: int = UNLEASED


class SignalHistory(Protocol):
    """Knows which signals a session sent; `is_complete` tells whether all of them."""

    is_complete: bool

    def since(self, past: Past) -> list[PastSignal]:
        """Return the signals asked about, as far as they are known, in order. Raises StorageUnavailable."""


class UnansweredSignals:
    """The signals that are on their way in this process: all that is known without a database."""

    is_complete = False

    def __init__(self, unfinished: Callable[[], Iterable[Signal]]) -> None:
        self._unfinished = unfinished

    def since(self, past: Past) -> list[PastSignal]:
        """Return the session's signals on their way."""
        return [
            PastSignal(signal.signal_id, signal.action, signal.quantity)
            for signal in self._unfinished()
            if (signal.session_key, signal.symbol) == (past.session_key, past.symbol)
        ]


class RecordedSignals:
    """The signals of the table `signals`, and those that are still to be written there.

    `freed` is called when there were signals that another worker was to deliver.
    """

    is_complete = True

    def __init__(
        self,
        database: Database,
        unfinished: Callable[[], Iterable[Signal]],
        freed: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._unwritten = UnansweredSignals(unfinished)
        self._freed = freed

    def since(self, past: Past) -> list[PastSignal]:
        """Return the session's signals, each to be delivered under the number of now from here on.

        So what they are found to be stays true until this worker says otherwise. Raises StorageUnavailable,
        ConfigError without table.
        """
        waiting = self._unwritten.since(past)  # first: one may be written now
        asked_for = [*past.open_signals, *(each.signal_id for each in waiting)]
        asked = {
            "session_key": past.session_key,
            "symbol": past.symbol,
            "moment": past.moment,
            "asked_for": asked_for,
            "fence": past.fence,
        }
        with self._database.transaction() as cursor:
            cursor.execute(SINCE, asked)
            rows = cursor.fetchall()
            are_freed = any(row[-1] for row in rows)
            if are_freed:
                cursor.execute(FREE, asked)
                cursor.execute(SINCE, asked)
                rows = cursor.fetchall()
        if are_freed:
            self._freed()
        found = [_past_signal(row, past) for row in rows]
        written = {each.signal_id for each in found}
        return found + [each for each in waiting if each.signal_id not in written]


def carry_on(position: Position, signals: Iterable[PastSignal]) -> tuple[Position, set[str]]:
    """Return a saved position once these signals are counted, and which of them have no answer.

    What the saved position expected is left behind: a signal that nobody knows of never comes. What is
    counted in it already is left alone.
    """
    position = replace(position, unanswered=0, ahead=0.0)
    waiting = []
    for each in signals:
        if each.counted:
            continue
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


def _past_signal(row: tuple[Any, ...], past: Past) -> PastSignal:
    signal_id, action, body, report, created_at, _ = row
    was_before = past.moment is not None and created_at <= past.moment
    return PastSignal(
        signal_id,
        action,
        float(body["quantity"]),
        None if report is None else msgspec.convert(report, ExecutionReport),
        counted=was_before and signal_id not in past.open_signals,
    )
