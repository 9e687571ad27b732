"""What the reference OMS can be told when it starts."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import ConfigError

MOST_PARTS = 1_000


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which orders are taken, and how they are filled.

    An order is filled in `fill_parts` parts, `fill_seconds` before each; of more than `fill_at_most` units
    the rest is cancelled. One over `reject_over_quantity`, or of a symbol that is not among `symbols` where
    any are named, is rejected. Raises ConfigError for a value out of range.
    """

    fill_parts: int = 1
    fill_seconds: float = 0.0
    fill_at_most: int | None = None
    reject_over_quantity: int | None = None
    symbols: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not 1 <= self.fill_parts <= MOST_PARTS:
            raise ConfigError(f"an order must be filled in 1 to {MOST_PARTS} parts")
        if not 0.0 <= self.fill_seconds < math.inf:
            raise ConfigError("the time before each fill must be seconds, 0 or more")


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Things that go wrong on purpose, each with a share of the orders, so that a worker can be tried.

    `drop_rate`: the stream ends when the order was accepted; `mute_rate`: nothing is said of it; in both
    cases it is executed. `repeat_rate`: everything about it is said twice. An order whose id comes again is
    answered without faults, so that with `drop_rate=1` each loses exactly its first answer. `seed` makes the
    choice repeatable.
    """

    drop_rate: float = 0.0
    mute_rate: float = 0.0
    repeat_rate: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("drop_rate", "mute_rate", "repeat_rate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name.replace('_', ' ')} must be from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class OmsServerOptions:
    """Where the reference OMS listens, who may use it, and what it does with orders.

    `port` 0 takes a free one. `token` is checked when it is set. With `certificate` and `key` (PEM files) it
    speaks TLS. Each of up to `streams` open streams holds a thread; the latest `remembered` ids are known
    again, with a `journal` (a file) also after a restart.
    """

    host: str = "127.0.0.1"
    port: int = 50051
    token: str | None = field(default=None, repr=False)
    certificate: Path | None = None
    key: Path | None = None
    streams: int = 64
    remembered: int = 100_000
    journal: Path | None = None
    rules: Rules = field(default_factory=Rules)
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("TLS needs both a certificate and its key")
