"""What signals ask about the lease of their session: may this worker send what was decided under it?"""

from collections.abc import Iterable
from typing import Protocol

from models.lease import UNLEASED, Standing


class Fence(Protocol):
    """Which sessions this worker holds, by their keys. Nothing here waits; safe from every thread."""

    @property
    def changes(self) -> int:
        """Counts up whenever there may be more signals to deliver than before."""

    def number(self, key: str) -> int:
        """Return the fencing number under which the session decides now."""

    def standing(self, key: str, number: int) -> Standing:
        """Say whether what the session decided under this number may be sent now."""

    def confirmed(self, keys: Iterable[str]) -> dict[str, int]:
        """Return the numbers of those of these sessions that are surely held now."""

    def want(self, keys: Iterable[str]) -> None:
        """Have sessions taken soon, where nobody holds them: they left signals behind."""


class Unfenced:
    """One worker alone: every session is its own."""

    changes = 0

    def number(self, key: str) -> int:  # noqa: ARG002 — the same for every session
        """Return UNLEASED."""
        return UNLEASED

    def standing(self, key: str, number: int) -> Standing:  # noqa: ARG002 — as above
        """Return HELD."""
        return Standing.HELD

    def confirmed(self, keys: Iterable[str]) -> dict[str, int]:
        """Return all of them."""
        return dict.fromkeys(keys, UNLEASED)

    def want(self, keys: Iterable[str]) -> None:
        """Do nothing: they are this worker's already."""
