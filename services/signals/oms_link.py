"""Whether an order can be put into the stream to the OMS now, and if not, why."""

import math
import threading
import time

import grpc
import structlog

from models.errors import NotSent
from services.signals.oms_outgoing import Outgoing

NOT_YET = "not connected to the OMS yet"

log = structlog.get_logger(__name__)


class Link:
    """What is known of the connection and of the stream on it. For several threads.

    A stream can be used when the connection is ready, and nobody has ended the stream for `settling` seconds,
    or an answer has come. A refusal of credentials comes only after the stream was opened, and an order put
    into it before that would be lost in doubt.
    """

    def __init__(self, settling: float) -> None:
        self._settling = settling
        self._changed = threading.Condition()
        self._outgoing: Outgoing | None = None
        self._ready_at = math.inf
        self._opened_at = math.inf
        self._reason = NOT_YET
        self._refusal: str | None = None
        self._closed = False

    @property
    def fault(self) -> str | None:
        """Why no order can be sent now; None when one can."""
        with self._changed:
            return None if self._usable_at() <= time.monotonic() else self._reason

    @property
    def refusal(self) -> str | None:
        """Why the OMS does not accept our credentials; None when it does or nothing is known."""
        with self._changed:
            return None if self._usable_at() <= time.monotonic() else self._refusal

    def connectivity_changed(self, connectivity: grpc.ChannelConnectivity) -> None:
        """The connection came or went."""
        ready = connectivity is grpc.ChannelConnectivity.READY
        log.info("oms_connectivity", state=connectivity.name.lower())
        with self._changed:
            self._ready_at = time.monotonic() if ready else math.inf
            self._changed.notify_all()

    def opened(self, outgoing: Outgoing) -> None:
        """A stream was begun."""
        with self._changed:
            self._outgoing, self._opened_at = outgoing, time.monotonic()
            self._changed.notify_all()

    def answered(self) -> None:
        """The OMS said something on the stream: it takes what we send."""
        with self._changed:
            self._refusal = None
            self._opened_at = -math.inf
            self._changed.notify_all()

    def ended(self, reason: str, refusal: str | None) -> None:
        """The stream is gone."""
        with self._changed:
            self._outgoing, self._opened_at = None, math.inf
            self._reason, self._refusal = reason, refusal
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody is to wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_for_news(self, seconds: float) -> None:
        """Return when a first stream can be used or has failed, after `seconds` at the latest."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._reason is NOT_YET and not self._closed:
                now, usable_at = time.monotonic(), self._usable_at()
                if now >= min(deadline, usable_at):
                    return
                self._changed.wait(min(deadline, usable_at) - now)

    def wait(self, seconds: float) -> Outgoing:
        """Return what orders are put into, as soon as they can be. Raises NotSent after `seconds`."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                now = time.monotonic()
                usable_at = self._usable_at()
                if self._outgoing is not None and usable_at <= now:
                    return self._outgoing
                if self._closed or now >= deadline:
                    raise NotSent(self._reason)
                self._changed.wait(min(usable_at, deadline) - now)

    def _usable_at(self) -> float:
        """Return the moment from which the stream can be used, as things are."""
        return max(self._ready_at, self._opened_at) + self._settling
