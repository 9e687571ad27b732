"""The worker as the replay of the demo sees it."""

from collections.abc import Callable
from dataclasses import dataclass

ON_THEIR_WAY = (
    2_000  # bars published and not delivered: some 0.5 MB of the 8 MB that Valkey keeps for a reader
)


@dataclass(frozen=True, slots=True)
class Worker:
    """Reads bars: `delivered` gives its count of them, `check` raises if it ended."""

    delivered: Callable[[], int]
    check: Callable[[], None]

    @property
    def limit(self) -> int:
        """How many bars may be on their way."""
        return ON_THEIR_WAY

    def behind(self, published: int) -> int:
        """Return how many bars are on their way. Raises what `check` raises."""
        self.check()
        return published - self.delivered()
