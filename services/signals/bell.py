"""Rings for one of several waiting threads."""

from contextlib import suppress
from queue import Empty, SimpleQueue


class Bell:
    """Each ring ends one `wait`, now or the next; it takes no lock that an interrupted caller could keep."""

    __slots__ = ("_rings",)

    def __init__(self) -> None:
        self._rings: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """End one `wait`, now or the next."""
        self._rings.put(None)

    def wait(self, seconds: float) -> None:
        """Return at the next ring, or after that time; one wait answers all rings before it."""
        with suppress(Empty):
            self._rings.get(timeout=seconds)
            while True:
                self._rings.get_nowait()
