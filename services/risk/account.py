"""What is kept of one account: nothing in it follows from anything else."""

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from models.portfolio import ZERO
from models.risk import Limits, Order
from services.risk.days import NEVER, Day

Lot = tuple[str, str]
"""Whose position, in which symbol: owner and symbol."""


class Books(Struct, frozen=True, kw_only=True):
    """What an account begins with. `cash` is without positions; `held` is negative when short.

    `prices` value what nothing was heard of yet. `in_flight` are the orders on their way, with what is left
    of each; `ended` the ids of those that ended a moment ago and are counted here.
    """

    cash: Decimal = ZERO
    held: Mapping[Lot, Decimal] = {}
    prices: Mapping[str, Decimal] = {}
    in_flight: tuple[Order, ...] = ()
    ended: tuple[str, ...] = ()


class Account(Struct, kw_only=True):
    """One account. `fixed_value` is the value that shares are of, where that is not what it is worth now.

    While it is worth more than `alarm`, nothing needs to be said of the day's loss.
    """

    limits: Limits
    fixed_value: Decimal | None = None
    cash: Decimal = ZERO
    held: dict[Lot, Decimal] = {}
    day: Day | None = None
    alarm: Decimal = NEVER

    def base(self, opening: Decimal) -> Decimal:
        """Return the value that the share lost in a day is of."""
        return opening if self.fixed_value is None else self.fixed_value


class Reservation(Struct, gc=False):
    """An order in flight since `at` (monotonic seconds), 0 where it was before this process.

    `price` is the highest that it may be filled at, `left` what may still come.

    `filled` and `paid` sum up what was filled of it and at which value. One that is `unknown` ended without
    anybody knowing how: it stays until somebody finds out.
    """

    order: Order
    account: str
    price: Decimal
    left: Decimal
    at: float = 0.0
    filled: Decimal = ZERO
    paid: Decimal = ZERO
    unknown: bool = False
