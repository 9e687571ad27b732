"""The market prices that flow by: told by the data thread without a lock, read under that of the book."""

import math
from decimal import Decimal

from models.portfolio import ZERO

NO_QUOTE = (None, None)


class Marks:
    """The last price of every symbol; `moved` are those told of since somebody took them out of it.

    `tell` is for any thread and leaves nothing half done when it is interrupted; the rest is for one at a
    time.
    """

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, float]] = {}
        self.moved: set[str] = set()
        self._exact: dict[str, tuple[float, Decimal]] = {}
        self._known: dict[str, Decimal] = {}

    def tell(self, symbol: str, price: float, at: float) -> None:
        """Take a price that came `at` (monotonic seconds); one that is no number above zero takes it away."""
        if 0.0 < price < math.inf:
            self._heard[symbol] = (price, at)
            self.moved.add(symbol)
        else:
            self._heard.pop(symbol, None)

    def price(self, symbol: str) -> Decimal | None:
        """Return the price of a symbol; None where there is none."""
        return self.quote(symbol)[0]

    def quote(self, symbol: str) -> tuple[Decimal, float] | tuple[None, None]:
        """Return the price of a symbol, and when it was heard of; both None where there is none."""
        heard = self._heard.get(symbol)
        if heard is None:
            return NO_QUOTE
        price, at = heard
        held = self._exact.get(symbol)
        if held is None or held[0] != price:
            held = self._exact[symbol] = price, Decimal(repr(price))
        return held[1], at

    def suppose(self, symbol: str, price: Decimal) -> None:
        """Take a price, of a fill or of an earlier day, to value what nothing was heard of yet."""
        self._known[symbol] = price

    def value_at(self, symbol: str) -> Decimal:
        """Return the price that positions are valued at: the last that is known, zero where none ever was."""
        if symbol in self._heard and (price := self.price(symbol)) is not None:
            return price
        if (exact := self._exact.get(symbol)) is not None:
            return exact[1]
        return self._known.get(symbol, ZERO)
