"""What worker and gateway say, each for itself, and what comes of laying two books side by side."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class WorkerBook:
    """What the worker says of a session: bars it was told of, signals it sent, answers it got, units held."""

    bars: int
    signals: int
    executed: int
    rejected: int
    position: Decimal


@dataclass(frozen=True, slots=True)
class GatewayBook:
    """What the gateway says of a session: signals it was handed, and how many of them it turned down."""

    receipts: int = 0
    rejections: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """Two or more numbers that must be equal, in words, and whether they are."""

    text: str
    holds: bool
