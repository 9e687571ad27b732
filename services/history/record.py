"""Writes down what flows over Redis: market data and control events, with the time at which each came."""

import time
from threading import Event

import structlog

from services.history.recording import RecordingWriter
from services.history.replay import Message
from services.routing import PATTERNS
from services.subscription import Subscription

CONTROL_CHANNEL = "system:subscription_updates"

log = structlog.get_logger(__name__)


class Recorder:
    """Records until it is told to stop. `gaps` counts lost connections: what came meanwhile is missing."""

    def __init__(self, redis_url: str, writer: RecordingWriter, stop: Event) -> None:
        self.gaps = 0
        self.subscribed = Event()
        self._writer = writer
        self._stop = stop
        self._subscription = Subscription(redis_url, (*PATTERNS, CONTROL_CHANNEL), self)

    def run(self, seconds: float | None = None) -> None:
        """Record, for so many seconds at most; what came by then is on disk. Raises OSError."""
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            for messages in self._subscription.batches(self._stop):
                now = time.time()
                for _, _, channel, payload in messages:
                    self._writer.add(Message(now, channel.decode(errors="surrogateescape"), payload))
                self._writer.flush_due(now)
                if deadline is not None and time.monotonic() >= deadline:
                    return
        finally:
            self._writer.close()
            self._subscription.close()

    def on_subscribed(self, silent_seconds: float | None) -> None:
        """Note that a gap has ended, if there was one."""
        self.subscribed.set()
        if silent_seconds is not None:
            log.warning("recording_gap", seconds=round(silent_seconds, 3))

    def on_lost(self, reason: str) -> None:
        """Count a gap, unless nothing was recorded yet."""
        if self.subscribed.is_set():
            self.gaps += 1
        log.warning("recording_interrupted", reason=reason)
