"""What one account has at stake in one symbol: the lines of all owners, added up as they change."""

from decimal import Decimal

from models.portfolio import ZERO
from services.risk.lines import NOTHING, Line


class Stake:
    """The lines of an account in one symbol, and their worst case at one price.

    A thousand sessions may hold the same symbol: those without orders in flight are added up, so that a new
    price costs one multiplication for them all. `value` is the worst case, `net` the signed quantity held.
    """

    __slots__ = ("_busy", "_idle", "_lines", "_worsts", "mark", "net", "value")

    def __init__(self, mark: Decimal) -> None:
        self.mark = mark
        self.value = ZERO
        self.net = ZERO
        self._lines: dict[str, Line] = {}
        self._worsts: dict[str, Decimal] = {}  # of those with orders in flight
        self._busy = ZERO
        self._idle = ZERO

    def __len__(self) -> int:
        return len(self._lines)

    def line(self, owner: str) -> Line:
        """Return what an owner holds and has in flight."""
        return self._lines.get(owner, NOTHING)

    def seen_by(self, owner: str) -> tuple[Line, Decimal]:
        """Return an owner's line, and the worst case of all other lines."""
        line, worst = self._lines.get(owner, NOTHING), self._worsts.get(owner)
        return line, self.value - (abs(line.held) * self.mark if worst is None else worst)

    def put(self, owner: str, line: Line) -> None:
        """Have an owner's line replaced; one that holds nothing and waits for nothing is forgotten."""
        before, worst = self._lines.get(owner, NOTHING), self._worsts.pop(owner, None)
        if worst is not None:
            self._busy -= worst
        elif before.held:
            self._idle -= abs(before.held)
        if before.held is not line.held:
            self.net += line.held - before.held
        if line.is_idle:
            self._idle += abs(line.held)
        else:
            worst = self._worsts[owner] = line.worst(self.mark)
            self._busy += worst
        if line.held or owner in self._worsts:
            self._lines[owner] = line
        else:
            self._lines.pop(owner, None)
        self.value = self._idle * self.mark + self._busy

    def revalue(self, mark: Decimal) -> None:
        """Value all lines at another price."""
        self.mark = mark
        if self._worsts:
            self._worsts = {owner: self._lines[owner].worst(mark) for owner in self._worsts}
            self._busy = sum(self._worsts.values(), ZERO)
        self.value = self._idle * mark + self._busy
