"""What names a session and the states it passes through."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from msgspec import Struct

AssetType = Literal["stock", "crypto"]


class SessionState(StrEnum):
    """Where a session stands.

    PENDING waits for a source that cannot be reached; STARTING runs `on_start`; RUNNING is told of market
    data; STOPPING waits for `on_stop`. ERROR was given up after errors; HALTED waits for a person because the
    outcome of an order is unknown, QUARANTINED because a call did not return in time. The three keep their
    reason. STANDBY is run by another worker, and is taken over when that one is no more.
    """

    PENDING = "PENDING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    ERROR = "ERROR"
    HALTED = "HALTED"
    QUARANTINED = "QUARANTINED"
    STANDBY = "STANDBY"


class SessionIdentity(Struct, frozen=True, kw_only=True):
    """One request to run a strategy on a symbol.

    `key` is the session id, else the strategy id; where that strategy already runs on another symbol
    without a session id, `strategy@symbol`.
    """

    key: str
    symbol: str
    asset_type: AssetType
    strategy_id: str
    session_id: str | None
    started_at: datetime


class SessionRecord(Struct, frozen=True, kw_only=True):
    """What is known of a session apart from its strategy: which it is, where it stands, and why."""

    identity: SessionIdentity
    state: SessionState
    reason: str | None = None


class Lifecycle(Struct, frozen=True):
    """The start or the end of a session, as the event that a signal of `on_start` or `on_stop` answers."""

    moment: Literal["start", "stop"]
    started_at: datetime

    @property
    def identity(self) -> str:
        """What makes this start or stop the same one wherever it is seen again."""
        return f"{self.moment}|{self.started_at.isoformat()}"
