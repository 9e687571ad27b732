"""What a session earned, computed from its trades alone: nothing here is taken from the worker's word.

Average cost: buying averages the price of what is held, selling realises the difference. All amounts are in
the quote currency, as Decimal, so that sums are exact.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from models.errors import StorageConflict
from models.signal import Action

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Fill:
    """An executed order: `bar` is the index of the bar whose signal it answers, `price` is per unit."""

    bar: int
    action: Action
    quantity: Decimal
    price: Decimal
    fee: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Account:
    """The cash and the one holding of a session; realised profit is before fees."""

    cash: Decimal
    quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO

    def after(self, fill: Fill) -> "Account":
        """Return the account once an order is filled.

        Raises StorageConflict when more is sold than is held, which the paper gateway never allows.
        """
        value = fill.price * fill.quantity
        if fill.action == "BUY":
            quantity = self.quantity + fill.quantity
            return replace(
                self,
                cash=self.cash - value - fill.fee,
                quantity=quantity,
                average_price=(self.average_price * self.quantity + value) / quantity,
                fees=self.fees + fill.fee,
            )
        quantity = self.quantity - fill.quantity
        if quantity < 0:
            raise StorageConflict(f"a trade sells {fill.quantity} where {self.quantity} are held")
        return replace(
            self,
            cash=self.cash + value - fill.fee,
            quantity=quantity,
            average_price=self.average_price if quantity else ZERO,
            realised=self.realised + value - self.average_price * fill.quantity,
            fees=self.fees + fill.fee,
        )

    def unrealised(self, price: Decimal) -> Decimal:
        """Return the profit of closing the holding at `price`."""
        return (price - self.average_price) * self.quantity

    def equity(self, price: Decimal) -> Decimal:
        """Return the cash and what the holding is worth at `price`."""
        return self.cash + self.quantity * price


@dataclass(frozen=True, slots=True)
class Performance:
    """A session over its bars: `equity` at each close, `max_drawdown` as a share of the peak before it."""

    account: Account
    unrealised: Decimal
    equity: tuple[Decimal, ...]
    max_drawdown: Decimal


def measure(cash: Decimal, closes: Sequence[Decimal], fills: Iterable[Fill]) -> Performance:
    """Follow an account that starts with `cash` over the closes; a fill counts from its own bar on.

    Fills are in the order of their execution. Raises StorageConflict when they contradict each other.
    """
    by_bar: dict[int, list[Fill]] = {}
    for fill in fills:
        by_bar.setdefault(fill.bar, []).append(fill)
    account, equity = Account(cash), []
    for index, close in enumerate(closes):
        for fill in by_bar.pop(index, ()):
            account = account.after(fill)
        equity.append(account.equity(close))
    if by_bar:
        raise StorageConflict(f"trades answer bars {sorted(by_bar)} of {len(closes)}")
    unrealised = account.unrealised(closes[-1]) if closes else ZERO
    return Performance(account, unrealised, tuple(equity), max_drawdown([cash, *equity]))


def max_drawdown(equity: Sequence[Decimal]) -> Decimal:
    """Return the deepest fall below an earlier peak, as a share of that peak: 0 when it never fell."""
    peak, deepest = ZERO, ZERO
    for value in equity:
        peak = max(peak, value)
        if peak > 0:
            deepest = max(deepest, (peak - value) / peak)
    return deepest
