"""A decision of a strategy: what it wants bought or sold, under an id that the same decision always has."""

from datetime import datetime
from enum import StrEnum
from hashlib import sha1
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct

Action = Literal["BUY", "SELL"]

SIGNAL_NAMESPACE = UUID("8f2c1c1e-6a55-5d0b-9c35-0d2f6b0c9a11")
_NAMESPACE = SIGNAL_NAMESPACE.bytes


class SignalStatus(StrEnum):
    """Where a signal stands. The last five are final."""

    PENDING = "pending"
    SENDING = "sending"
    EXECUTED = "executed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    REFUSED = "refused"


class Decision(Struct, frozen=True, kw_only=True, gc=False):
    """What a strategy decided, checked, before it has an id.

    `price` is in the quote currency, `quantity` in units (fractions allowed), `confidence` from 0 to 1;
    `metadata` is JSON and travels to the gateway unchanged.
    """

    action: Action
    price: float
    quantity: float
    confidence: float = 1.0
    metadata: dict[str, Any] = {}


class Signal(Decision, frozen=True, kw_only=True, gc=False):
    """A decision with its identity: one order that a session asks for.

    `timestamp` is the market time of the event that the decision answers, so that the same decision has
    the same body as well as the same id.
    """

    signal_id: str
    session_key: str
    session_id: str | None
    strategy_id: str
    symbol: str
    timestamp: datetime


def derive_signal_id(session_key: str, event: str, ordinal: int) -> str:
    """Return the id of the signal number `ordinal` (from 0) that a session gave in answer to `event`.

    A version 5 UUID (RFC 9562, section 5.5), so the same decision always has the same id: after a crash,
    in a second worker, or over history.
    """
    name = f"{session_key}\x1f{event}\x1f{ordinal}".encode()
    # As uuid.uuid5 does it, without the object that would only be turned into text: a third of its time.
    digest = sha1(_NAMESPACE + name, usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"
