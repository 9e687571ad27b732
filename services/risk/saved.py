"""What of risk survives a restart: the day of each account, and the books of plain sessions."""

from datetime import UTC, datetime
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from services.risk.account import Lot
from services.risk.days import Day

BEFORE_EVERYTHING = datetime(1970, 1, 1, tzinfo=UTC)


class SavedBooks(Struct, frozen=True, kw_only=True):
    """The books of plain sessions at one moment: where counting begins after a restart.

    `held` is by owner and symbol. `open_orders` are the ids of the signals that were in flight then,
    `counted` those that had ended shortly before. `resumed` is the last word to resume that was heeded.
    """

    cash: Decimal = Decimal(0)
    held: tuple[tuple[str, str, Decimal], ...] = ()
    prices: dict[str, Decimal] = {}
    open_orders: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    resumed: str | None = None

    @property
    def lots(self) -> dict[Lot, Decimal]:
        """What is held, by owner and symbol."""
        return {(owner, symbol): quantity for owner, symbol, quantity in self.held}


class SavedAccount(Struct, frozen=True, kw_only=True):
    """An account as it is kept outside of the process."""

    account: str
    day: Day
    books: SavedBooks = SavedBooks()
    saved_at: datetime = BEFORE_EVERYTHING

    def says_the_same(self, other: "SavedAccount | None") -> bool:
        """Whether nothing changed that a restart would miss, prices aside."""
        return (
            other is not None
            and self.day == other.day
            and replace(self.books, prices={}) == replace(other.books, prices={})
        )
