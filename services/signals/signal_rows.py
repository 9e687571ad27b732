"""Signals as rows of the table `signals`, and back: what is written, what a row tells, how a signal ended."""

import re
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from models.execution import ExecutionReport
from models.signal import Signal, SignalStatus
from services.signals.outbox import OutboxEntry
from services.signals.outcome import Outcome
from services.signals.wire import encode

FINAL = {
    SignalStatus.EXECUTED,
    SignalStatus.REJECTED,
    SignalStatus.EXPIRED,
    SignalStatus.UNKNOWN,
    SignalStatus.REFUSED,
}


# An escaped NUL; an even number of backslashes before it belongs to the text.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class NewRow(Struct, frozen=True, kw_only=True):
    """What is written of a signal before it is sent, by the names of the columns.

    One that is not to be sent is written with its end.
    """

    signal_id: str
    session_key: str
    session_id: str | None
    strategy_id: str
    symbol: str
    action: str
    price: float
    quantity: float
    confidence: float
    body: msgspec.Raw
    created_at: datetime
    fence: int
    status: SignalStatus = SignalStatus.PENDING
    reason: str | None = None
    finished_at: datetime | None = None
    report: ExecutionReport | None = None


class Mark(Struct, frozen=True, kw_only=True):
    """What is written of a signal later: that a request began, or how it ended.

    It counts only where the row has this `fence`. One that `is_left` is for another worker to take over.
    """

    signal_id: str
    fence: int
    status: SignalStatus
    attempts: int
    reason: str | None = None
    sent_at: datetime | None = None
    finished_at: datetime | None = None
    report: ExecutionReport | None = None
    is_left: bool = False


class FoundRow(Struct, frozen=True, kw_only=True):
    """A row as it was found, by the names of its columns."""

    signal_id: str
    session_key: str
    session_id: str | None
    body: dict[str, Any]
    status: str
    reason: str | None
    attempts: int
    created_at: datetime
    report: dict[str, Any] | None
    worker: int
    fence: int

    @property
    def signal(self) -> Signal:
        """The signal, which has the same body when it is sent again."""
        sent = self.body
        return Signal(
            action=sent["action"],
            price=float(sent["price"]),
            quantity=float(sent["quantity"]),
            confidence=float(sent["confidence"]),
            metadata=sent["metadata"],
            signal_id=self.signal_id,
            session_key=self.session_key,
            session_id=self.session_id,
            strategy_id=sent["strategyId"],
            symbol=sent["symbol"],
            timestamp=datetime.fromisoformat(sent["timestamp"]),
        )

    def outcome(self, at: float) -> Outcome | None:
        """Return how the signal ended, told at this monotonic time; None when it has not."""
        status = SignalStatus(self.status)
        if status not in FINAL:
            return None
        return Outcome(
            status=status,
            report=msgspec.convert(self.report, ExecutionReport),
            attempts=self.attempts,
            at=at,
            halt_session=status is SignalStatus.UNKNOWN,
        )


def new_row(entry: OutboxEntry) -> NewRow:
    """Return what is written of an entry. Raises Refused when its signal cannot be put into JSON."""
    signal, settled = entry.signal, entry.settled
    return NewRow(
        signal_id=signal.signal_id,
        session_key=signal.session_key,
        session_id=signal.session_id,
        strategy_id=signal.strategy_id,
        symbol=signal.symbol,
        action=signal.action,
        price=signal.price,
        quantity=signal.quantity,
        confidence=signal.confidence,
        body=msgspec.Raw(encode(signal)),
        created_at=entry.created_at,
        fence=entry.fence,
        status=SignalStatus.PENDING if settled is None else settled.status,
        reason=None if settled is None else settled.report.reason,
        finished_at=None if settled is None else entry.created_at,
        report=None if settled is None else settled.report,
    )


def as_json(rows: list[NewRow] | list[Mark]) -> str:
    """Return rows as one JSON array, the form in which a statement takes any number of them."""
    return msgspec.json.encode(rows).decode()


def without_nul(text: str) -> str:
    """Return JSON with U+FFFD for every NUL that a gateway put into its words: PostgreSQL stores none."""
    return _NUL.sub(r"\1\\ufffd", text)
