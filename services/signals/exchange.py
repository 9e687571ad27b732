"""One request and its reply, against one clock."""

from collections.abc import Callable


class Exchange:
    """The one deadline of a request and its reply. Each thread has one, used again for every request."""

    __slots__ = ("_clock", "_ends_at", "has_left")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends_at = 0.0
        self.has_left = False

    def begin(self, seconds: float) -> None:
        """Start the clock of a new request."""
        self._ends_at = self._clock() + seconds
        self.has_left = False

    def left(self) -> float:
        """Return the seconds that are left. Raises TimeoutError when there are none."""
        seconds = self._ends_at - self._clock()
        if seconds <= 0:
            raise TimeoutError("the time for this request is over")
        return seconds
