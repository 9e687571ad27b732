"""One request and its reply, against one clock."""

import time


class Exchange:
    """The deadline of a request and its reply together. Each thread has one, used again for every request.

    `has_left` tells whether any byte of the request may have left this machine. A connection that was idle
    for `reuse_seconds` is not used again.
    """

    __slots__ = ("_ends_at", "has_left", "reuse_seconds")

    def __init__(self, reuse_seconds: float) -> None:
        self.reuse_seconds = reuse_seconds
        self._ends_at = 0.0
        self.has_left = False

    def begin(self, seconds: float) -> None:
        """Start the time of a new request."""
        self._ends_at = time.monotonic() + seconds
        self.has_left = False

    def left(self) -> float:
        """Return the seconds that are left. Raises TimeoutError when there are none."""
        seconds = self._ends_at - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the time for this request is over")
        return seconds
