"""What a session holds, as its strategy sees it."""

from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from models.execution import ExecutionReport
from models.signal import Action, Decision

DUST = 1e-12


class Position(Struct, frozen=True):
    """A session's holding of its symbol.

    `quantity` is what was filled, negative when short, and `average_price` what it cost per unit.
    `expected` is what the holding will be once every signal on its way is filled: decide on `expected`,
    and an answer that takes longer than a bar does not make a strategy buy twice. `realised_pnl` is in the
    quote currency, before fees. A position is true when there is one.

    `unanswered` counts the signals on their way, and `ahead` is `expected` while there are some. It is kept
    rather than added up, so that a gateway that answers late changes no digit of it.

    >>> bool(Position()), bool(Position(quantity=10.0, average_price=99.5))
    (False, True)
    """

    quantity: float = 0.0
    average_price: float = 0.0
    realised_pnl: float = 0.0
    unanswered: int = 0
    ahead: float = 0.0

    def __bool__(self) -> bool:
        return self.quantity != 0.0

    @property
    def expected(self) -> float:
        """The quantity once every signal on its way is filled."""
        return self.ahead if self.unanswered else self.quantity

    @property
    def working(self) -> float:
        """The signed quantity that is on its way: what `expected` has beyond `quantity`."""
        return self.expected - self.quantity

    def unrealised_pnl(self, price: float) -> float:
        """Return the profit of closing at `price`, in the quote currency, before fees."""
        return (price - self.average_price) * self.quantity

    def after_signal(self, signal: Decision) -> Self:
        """Return the position with one more signal on its way."""
        ahead = _sum(self.expected, _signed(signal.action, signal.quantity))
        return replace(self, unanswered=self.unanswered + 1, ahead=ahead)

    def after_reduction(self, action: Action, by: float) -> Self:
        """Return the position when a signal on its way is sent for `by` units less than was decided."""
        return replace(self, ahead=_sum(self.expected, -_signed(action, by)))

    def after_report(self, report: ExecutionReport) -> Self:
        """Return the position once a signal has its answer.

        Average cost: adding to a position averages the price, reducing it realises the difference, and
        an order that turns a position round opens the rest at its own price.
        """
        answered = self._answered(report)
        if report.filled_price is None or not _fills(report):
            return answered
        fill, price = _signed(report.action, report.filled_quantity), report.filled_price
        held, quantity = abs(self.quantity), _sum(self.quantity, fill)
        if self.quantity * fill >= 0:
            cost = self.average_price * held + price * abs(fill)
            return replace(
                answered, quantity=quantity, average_price=cost / abs(quantity) if quantity else 0.0
            )
        gain = (price - self.average_price) * (1.0 if self.quantity > 0 else -1.0)
        average = price if abs(fill) > held else self.average_price
        return replace(
            answered,
            quantity=quantity,
            average_price=average if quantity else 0.0,
            realised_pnl=self.realised_pnl + min(abs(fill), held) * gain,
        )

    def _answered(self, report: ExecutionReport) -> Self:
        """Count the answer, and take what it did not fill off what is expected."""
        unanswered = max(self.unanswered - 1, 0)
        if not unanswered:
            return replace(self, unanswered=0, ahead=0.0)
        filled = report.filled_quantity if _fills(report) else 0.0
        missing = report.quantity - filled
        ahead = _sum(self.ahead, -_signed(report.action, missing))
        return replace(self, unanswered=unanswered, ahead=ahead)


def _fills(report: ExecutionReport) -> bool:
    return report.executed and report.filled_price is not None and not report.told_before


def _signed(action: str, quantity: float) -> float:
    return quantity if action == "BUY" else -quantity


def _sum(quantity: float, change: float) -> float:
    """Add, and drop what only float arithmetic left over: 0.1 + 0.2 - 0.3 is nothing held."""
    total = quantity + change
    return 0.0 if abs(total) < DUST * max(abs(quantity), abs(change)) else total
