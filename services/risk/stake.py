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

    def others(self, owner: str) -> Decimal:
        """Return the worst case of all lines but one."""
        worst = self._worsts.get(owner)
        if worst is None:
            return self.value - abs(self.line(owner).held) * self.mark
        return self.value - worst

    def put(self, owner: str, line: Line) -> None:
        """Have an owner's line replaced; one that holds nothing and waits for nothing is forgotten."""
        before, worst = self.line(owner), self._worsts.pop(owner, None)
        if worst is None:
            self._idle -= abs(before.held)
        else:
            self._busy -= worst
        if before.held is not line.held:
            self.net += line.held - before.held
        if not line.is_idle:
            worst = self._worsts[owner] = line.worst(self.mark)
            self._busy += worst
        else:
            self._idle += abs(line.held)
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
