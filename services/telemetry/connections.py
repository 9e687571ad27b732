"""Connections that say nothing, or say it slowly, keep nobody else from an answer.

Everything that asks here sends a few hundred bytes and reads an answer of a few thousand. Who takes far more
time than that needs is cut off, and so is who has waited longest where there are too many.
"""

import asyncio
from collections.abc import Set as AbstractSet
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 100


class BoundedConnection(H11Protocol):
    """One connection: it has `request_seconds` from its start, or its last answer, to its next answer."""

    request_seconds: float

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.waits_since = self.loop.time()
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request; where there are too many who do, the oldest of them has to go."""
        super().connection_made(transport)  # type: ignore[arg-type]  # as uvicorn declares it
        self._wait()
        if len(self.connections) > MOST_CONNECTIONS:
            longest_waiting(self.connections).transport.abort()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        if self._limit is not None:
            self._limit.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self.waits_since = self.loop.time()
        self._limit = self.loop.call_later(self.request_seconds, self.transport.abort)


def bounded(request_seconds: float) -> type[BoundedConnection]:
    """Return the kind of connection that allows each request so many seconds."""
    return type("BoundedConnection", (BoundedConnection,), {"request_seconds": request_seconds})


def longest_waiting(connections: AbstractSet[Any]) -> BoundedConnection:
    """Return the connection that was answered, or made, the longest ago."""
    oldest: BoundedConnection = min(connections, key=lambda each: each.waits_since)
    return oldest
