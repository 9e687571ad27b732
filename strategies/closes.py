"""The last closes of a symbol, and what it gained over some of them."""

from msgspec import Struct


class Closes(Struct):
    """The last `most` closes, the newest last. Where times are told, the newest can be left out by its time.

    >>> closes = Closes(3)
    >>> for price in (10.0, 11.0, 12.0, 13.2):
    ...     closes.update(price)
    >>> round(closes.gain(2), 6), closes.gain(3)
    (0.2, None)
    """

    most: int
    values: list[float] = []
    newest_at: float = 0.0

    def update(self, close: float, at: float = 0.0) -> None:
        """Take the next close, and its time in Unix seconds."""
        self.values.append(close)
        self.newest_at = at
        if len(self.values) > self.most:
            del self.values[0]

    def gain(self, lookback: int, skip: int = 0) -> float | None:
        """Return the return from the close `lookback` bars ago to that `skip` bars ago; None with too few."""
        if len(self.values) <= lookback:
            return None
        return self.values[-1 - skip] / self.values[-1 - lookback] - 1.0

    def gain_before(self, at: float, lookback: int) -> float | None:
        """Return the return over the last `lookback` bars before this time; None with too few."""
        later = 1 if self.values and self.newest_at >= at else 0
        return self.gain(lookback + later, later)
