"""One owner's position in one symbol with its orders in flight, and the most that it can come to. Pure.

An order in flight may be filled or not, each by itself. So the worst case on the long side is that every BUY
is filled and no SELL, on the short side the other way round; a line counts for the larger of the two.
"""

from decimal import Decimal

from msgspec import Struct

from models.portfolio import ZERO
from models.signal import Action


class Flight(Struct, frozen=True, gc=False):
    """What is in flight on one side of a line.

    `value` sums quantity × price of the orders, each at the highest price that it may be filled at;
    `highest` is the highest of those prices since nothing was in flight.
    """

    quantity: Decimal = ZERO
    value: Decimal = ZERO
    highest: Decimal = ZERO

    def plus(self, quantity: Decimal, price: Decimal) -> "Flight":
        """Return it with one more order in flight."""
        highest = price if price > self.highest else self.highest  # noqa: FURB136 — a call is dearer
        return Flight(self.quantity + quantity, self.value + quantity * price, highest)

    def minus(self, quantity: Decimal, price: Decimal) -> "Flight":
        """Return it without what an order that was added at this price has no more in flight."""
        left = self.quantity - quantity
        return Flight(left, self.value - quantity * price, self.highest) if left else NO_FLIGHT


NO_FLIGHT = Flight()


class Line(Struct, frozen=True, gc=False):
    """What an owner holds of a symbol, negative when short, and what is on its way to change that."""

    held: Decimal = ZERO
    buys: Flight = NO_FLIGHT
    sells: Flight = NO_FLIGHT

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight."""
        return not self.buys.quantity and not self.sells.quantity

    def plus(self, side: Action, quantity: Decimal, price: Decimal) -> "Line":
        """Return the line with one more order in flight."""
        if side == "BUY":
            return Line(self.held, self.buys.plus(quantity, price), self.sells)
        return Line(self.held, self.buys, self.sells.plus(quantity, price))

    def minus(self, side: Action, quantity: Decimal, price: Decimal) -> "Line":
        """Return the line without what is not in flight any more of an order added at this price."""
        if side == "BUY":
            return Line(self.held, self.buys.minus(quantity, price), self.sells)
        return Line(self.held, self.buys, self.sells.minus(quantity, price))

    def closable(self, side: Action) -> Decimal:
        """Return how much an order on this side can take off the position, others in flight allowed for."""
        room = -self.held - self.buys.quantity if side == "BUY" else self.held - self.sells.quantity
        return room if room > 0 else ZERO

    def reach(self, side: Action, mark: Decimal, quantity: Decimal = ZERO, price: Decimal = ZERO) -> Decimal:
        """Return the value of the position on this side once all that is in flight there is filled.

        One more order may be supposed to be in flight there. Zero where the position would still be on the
        other side. What is held counts at `mark`, what is in flight at its own price; of what first has to
        close the other side nobody knows which of the orders do, so the rest counts at the highest price.
        """
        held, flight = (self.held, self.buys) if side == "BUY" else (-self.held, self.sells)
        value = flight.value + quantity * price
        if held >= 0:
            return held * mark + value
        excess = held + flight.quantity + quantity
        return min(value, excess * max(price, flight.highest)) if excess > 0 else ZERO

    def worst(self, mark: Decimal) -> Decimal:
        """Return the most that the position can be worth, on either side."""
        held = self.held
        if held >= 0 and self.sells.quantity <= held:  # it cannot become short
            return held * mark + self.buys.value
        if held < 0 and self.buys.quantity <= -held:
            return self.sells.value - held * mark
        return max(self.reach("BUY", mark), self.reach("SELL", mark))


NOTHING = Line()
