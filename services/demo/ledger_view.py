"""What the gateway's database holds at the end: receipts and trades, read past gateway and worker."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from models.errors import StorageConflict
from models.market_data import Bar
from models.signal import Action, derive_signal_id
from services.db_client import Database
from services.demo.books import GatewayBook
from services.demo.results import Fill

SIGNALS_PER_BAR = 4  # that one session may send, with room to spare


@dataclass(frozen=True, slots=True)
class BookedTrade:
    """A row of the table `trades`."""

    signal_id: str
    action: Action
    quantity: Decimal
    price: Decimal
    fee: Decimal


class LedgerView:
    """Reads the tables of the paper gateway. Every method may raise StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def receipts(self) -> dict[str, GatewayBook]:
        """Return by session how many signals the gateway took, and how many of them it rejected."""
        with self._database.transaction() as cursor:
            cursor.execute(
                "SELECT session_id, count(*), count(*) FILTER (WHERE status_code >= 400)"
                " FROM paper_receipts GROUP BY session_id"
            )
            return {session: GatewayBook(count, rejected) for session, count, rejected in cursor.fetchall()}

    def count_trades(self) -> int:
        """Return how many trades of sessions are booked."""
        with self._database.transaction() as cursor:
            cursor.execute(
                "SELECT count(*) FROM trades"
                " WHERE session_id NOT IN (SELECT execution_id::text FROM strategy_executions)"
            )
            (count,) = cursor.fetchone() or (0,)
            return int(count)

    def trades(self) -> dict[str, list[BookedTrade]]:
        """Return every trade by session, in the order they were booked."""
        found: dict[str, list[BookedTrade]] = {}
        with self._database.transaction() as cursor:
            cursor.execute(
                "SELECT session_id, signal_id, action, quantity, price, fee FROM trades ORDER BY trade_id"
            )
            for session, *columns in cursor.fetchall():
                found.setdefault(session, []).append(BookedTrade(*columns))
        return found


def locate(session: str, trades: Iterable[BookedTrade], bars: Sequence[Bar]) -> tuple[Fill, ...]:
    """Say which bar each trade of a session answers.

    A trade carries no market time, only the id of its signal; but that id follows from session and bar, so
    the ids of all bars are worked out and looked up. Raises StorageConflict for a trade that answers none.
    """
    booked = list(trades)
    index = _signal_ids(session, bars, wanted={trade.signal_id for trade in booked})
    strangers = [trade.signal_id for trade in booked if trade.signal_id not in index]
    if strangers:
        raise StorageConflict(f"trades of {session} answer no bar of it: {', '.join(strangers[:3])}")
    return tuple(
        Fill(index[trade.signal_id], trade.action, trade.quantity, trade.price, trade.fee) for trade in booked
    )


def _signal_ids(session: str, bars: Sequence[Bar], wanted: set[str]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for ordinal in range(SIGNALS_PER_BAR):
        if len(found) == len(wanted):
            break
        for number, bar in enumerate(bars):
            signal_id = derive_signal_id(session, bar.identity, ordinal)
            if signal_id in wanted:
                found[signal_id] = number
    return found
