"""What a session holds, as its strategy sees it."""

from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from models.execution import ExecutionReport
from models.signal import Signal

DUST = 1e-12


class Position(Struct, frozen=True):
    """A session's holding of its symbol.

    `quantity` is what was filled, negative when short, and `average_price` what it cost per unit.
    `working` is the signed quantity of signals that have no answer yet, and `expected` what the holding
    will be once they are filled: decide on `expected`, and an answer that takes longer than a bar does
    not make a strategy buy twice. `realised_pnl` is in the quote currency, before fees. A position is
    true when there is one.

    >>> bool(Position()), bool(Position(quantity=10.0, average_price=99.5))
    (False, True)
    """

    quantity: float = 0.0
    average_price: float = 0.0
    realised_pnl: float = 0.0
    working: float = 0.0

    def __bool__(self) -> bool:
        return self.quantity != 0.0

    @property
    def expected(self) -> float:
        """The quantity once every signal on its way is filled."""
        return self.quantity + self.working

    def unrealised_pnl(self, price: float) -> float:
        """Return the profit of closing at `price`, in the quote currency, before fees."""
        return (price - self.average_price) * self.quantity

    def after_signal(self, signal: Signal) -> Self:
        """Return the position with one more signal on its way."""
        return replace(self, working=_settle(self.working + _signed(signal.action, signal.quantity)))

    def after_report(self, report: ExecutionReport) -> Self:
        """Return the position once a signal has its answer.

        Average cost: adding to a position averages the price, reducing it realises the difference, and
        an order that turns a position round opens the rest at its own price.
        """
        answered = replace(self, working=_settle(self.working - _signed(report.action, report.quantity)))
        if not report.executed or report.filled_price is None:
            return answered
        fill, price = _signed(report.action, report.filled_quantity), report.filled_price
        held, quantity = abs(self.quantity), _settle(self.quantity + fill)
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


def _signed(action: str, quantity: float) -> float:
    return quantity if action == "BUY" else -quantity


def _settle(quantity: float) -> float:
    """Drop what only float arithmetic left over: 0.1 + 0.2 - 0.3 is nothing held."""
    return 0.0 if abs(quantity) < DUST else quantity
