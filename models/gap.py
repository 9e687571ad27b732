"""A stretch of time in which messages may have been missed."""

from datetime import datetime
from typing import Literal

from msgspec import Struct


class Gap(Struct, frozen=True, kw_only=True):
    """A hole in what a session was told, as `on_gap` receives it.

    `stream` is `bars` or `trades` where one channel has a hole, `connection` where nothing could be heard.
    `missed` is the exact number of messages where the publisher counts them, else None: then messages
    between `since` and `until` may or may not have been missed. Both are aware times in UTC.
    """

    stream: Literal["bars", "trades", "connection"]
    symbol: str
    since: datetime
    until: datetime
    reason: str
    missed: int | None = None

    @property
    def identity(self) -> str:
        """What makes this gap the same gap wherever it is seen again."""
        return f"gap|{self.stream}|{self.symbol}|{self.since.isoformat()}"
