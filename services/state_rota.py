"""Whose turn it is to be saved."""

from bisect import bisect_right
from collections.abc import Collection


class Rota:
    """Goes round keys that come and go, a share of them at a time."""

    def __init__(self) -> None:
        self._last = ""
        self._due = 0.0

    def next(self, keys: Collection[str], share: float) -> list[str]:
        """Return whose turn it is after those before: `share` of all keys, each at most once."""
        ordered = sorted(keys)
        self._due = min(self._due + share * len(ordered), len(ordered))
        count = int(self._due)
        self._due -= count
        start = bisect_right(ordered, self._last)
        chosen = (ordered[start:] + ordered[:start])[:count]
        if chosen:
            self._last = chosen[-1]
        return chosen
