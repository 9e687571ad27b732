"""Which sessions wait until a person has looked at an order whose outcome is unknown, and why."""

from collections.abc import Mapping


class Halts:
    """Reasons by session key: what this process met, and what the table `signals` tells of others.

    A key stays here when its session is stopped and started again: only a person lifts it. Safe from every
    thread.
    """

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._found: Mapping[str, str] = {}
        self._lifted: set[str] = set()

    def add(self, key: str, reason: str) -> None:
        """Halt a session."""
        self._lifted.discard(key)
        self._reasons[key] = reason

    def lift(self, key: str) -> None:
        """A person has looked: the session may run again, also while its signal is not resolved."""
        self._lifted.add(key)
        self._reasons.pop(key, None)

    def forget(self, key: str) -> None:
        """Leave it to another worker to know of a session, which it has now."""
        self._reasons.pop(key, None)

    def reason(self, key: str) -> str | None:
        """Return why a session must not run, or None."""
        if (reason := self._reasons.get(key)) is not None:
            return reason
        return None if key in self._lifted else self._found.get(key)

    def found(self, unknown: Mapping[str, str]) -> Mapping[str, str]:
        """Take the reasons that the table tells; return them without those that a person has lifted."""
        self._lifted &= unknown.keys()
        self._found = unknown
        return {key: reason for key, reason in unknown.items() if key not in self._lifted}
