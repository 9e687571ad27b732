"""Something about risk that somebody should find again: a row of the table `risk_events`."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct

from models.risk import Rule

Action = Literal["warned", "reduced", "refused", "halted", "closed", "resumed"]


class Severity(StrEnum):
    """How much it matters: INFO for what a person did, CRITICAL for what stops trading or takes a loss."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class RiskEvent(Struct, frozen=True, kw_only=True):
    """A warning, a refusal, a halt. Of an execution, of a session, or of everything when both are None.

    `data` is JSON: what was measured against which limit, and the order that it was about.
    """

    event_id: str
    event_type: Rule
    severity: Severity
    description: str
    action_taken: Action
    created_at: datetime
    execution_id: str | None = None
    session_key: str | None = None
    data: dict[str, Any] = {}
