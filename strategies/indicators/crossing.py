"""Lines that meet."""

from msgspec import Struct

NOISE = 1e-9


class Cross(Struct):
    """On which side of another line a line is, and whether it has just changed sides.

    `side` is 1 above, -1 below, 0 on the other line, None before the first update. Lines nearer to each
    other than a billionth of `scale` (the price, for lines of prices) touch: what float arithmetic leaves
    over is no signal.

    >>> cross = Cross()
    >>> [cross.update(line, 10.0, scale=10.0) for line in (9.0, 10.0, 11.0, 12.0, 8.0)]
    [0, 0, 1, 0, -1]
    """

    side: int | None = None

    def update(self, line: float, other: float, scale: float) -> int:
        """Return 1 when the line came above the other, -1 when it came below, else 0."""
        before, distance, noise = self.side, line - other, NOISE * scale
        self.side = side = 1 if distance > noise else -1 if distance < -noise else 0
        return 0 if before is None or side == before else side
