"""What was bought and sold again: fills paired first in, first out."""

from collections import defaultdict, deque
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from services.history.broker import DUST, Fill


class RoundTrip(Struct, frozen=True, kw_only=True):
    """Units of a symbol from their purchase to their sale; without an exit they are still held.

    `profit` is in the quote currency, after both fees; None while there is no exit.
    """

    session_key: str
    symbol: str
    quantity: float
    entry_time: datetime
    entry_price: float
    exit_time: datetime | None = None
    exit_price: float | None = None
    fees: float = 0.0
    profit: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return None if self.exit_time is None else (self.exit_time - self.entry_time).total_seconds()

    @property
    def share(self) -> float | None:
        """The profit as a share of what the units cost at entry."""
        return None if self.profit is None else self.profit / (self.entry_price * self.quantity)


class _Lot(Struct):
    fill: Fill
    left: float


def pair(fills: Iterable[Fill]) -> tuple[list[RoundTrip], list[RoundTrip]]:
    """Return what was closed, in the order of the exits, and what is still held, in that of the entries.

    A sale closes what was bought first: one that closes several purchases makes several round trips, and
    fees are shared out by quantity.
    """
    lots: dict[str, deque[_Lot]] = defaultdict(deque)
    closed: list[RoundTrip] = []
    for fill in fills:
        held = lots[fill.session_key]
        if fill.action == "BUY":
            held.append(_Lot(fill, fill.quantity))
            continue
        left = fill.quantity
        while held and left > DUST * fill.quantity:
            lot = held[0]
            quantity = min(lot.left, left)
            closed.append(_closed(lot.fill, fill, quantity))
            left -= quantity
            lot.left -= quantity
            if lot.left <= DUST * lot.fill.quantity:
                held.popleft()
    still = [_held(lot) for held in lots.values() for lot in held]
    return closed, sorted(still, key=lambda trip: trip.entry_time)


def _closed(entry: Fill, exit_: Fill, quantity: float) -> RoundTrip:
    fees = entry.fee * quantity / entry.quantity + exit_.fee * quantity / exit_.quantity
    return RoundTrip(
        session_key=entry.session_key,
        symbol=entry.symbol,
        quantity=quantity,
        entry_time=entry.time,
        entry_price=entry.price,
        exit_time=exit_.time,
        exit_price=exit_.price,
        fees=fees,
        profit=(exit_.price - entry.price) * quantity - fees,
    )


def _held(lot: _Lot) -> RoundTrip:
    entry = lot.fill
    return RoundTrip(
        session_key=entry.session_key,
        symbol=entry.symbol,
        quantity=lot.left,
        entry_time=entry.time,
        entry_price=entry.price,
        fees=entry.fee * lot.left / entry.quantity,
    )
