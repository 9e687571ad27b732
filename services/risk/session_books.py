"""The account of plain sessions: where its books come from after a restart, and what keeps them true.

With a database the table `signals` is the truth: what it tells of signals that are not known here is counted,
whoever sent them. Without one, what was saved last is all there is.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from services.risk.account import Account, Books, Reservation
from services.risk.book import RiskBook
from services.risk.events import SESSIONS
from services.risk.recall import SignalRecall
from services.risk.saved import SavedBooks

# Signals of other workers are looked for this far back, by their clock; what was saved is counted from this
# far before, so that clocks may differ by as much.
LOOK_BACK_SECONDS = 20.0
# An order that is younger is still on its way to the outbox, or its end on its way here.
SETTLING_SECONDS = 5.0


class SessionBooks:
    """Opens the account of plain sessions, and finds out what became of orders that nobody told of.

    `fixed_value` is what its shares are of. `unfinished` gives the ids of the signals in the outbox. For one
    thread at a time; methods raise StorageUnavailable, and ConfigError where a table is missing.
    """

    def __init__(
        self,
        book: RiskBook,
        account: Account,
        recall: SignalRecall | None,
        unfinished: Callable[[], Iterable[str]],
    ) -> None:
        self._book = book
        self._account = account
        self._recall = recall
        self._unfinished = unfinished
        self._missing: set[str] = set()

    def open(self, saved: SavedBooks | None, saved_at: datetime) -> None:
        """Open the account as it was saved, and with what happened since."""
        saved = saved or SavedBooks()
        if self._recall is None:
            books = Books(cash=saved.cash, held=saved.lots, prices=saved.prices)
        else:
            books = self._recall.carry_on(saved, saved_at)
        self._book.open(SESSIONS, self._account, books)

    def save(self) -> tuple[SavedBooks, datetime]:
        """Return the books as they are, and from which moment on signals are to be counted on top."""
        now, monotonic = datetime.now(UTC), self._book.clock()
        with self._book.holdings() as held:
            account = held.accounts[SESSIONS]
            symbols = sorted({symbol for _, symbol in account.held})
            since = monotonic - 2 * LOOK_BACK_SECONDS
            books = SavedBooks(
                cash=account.cash,
                held=tuple((owner, symbol, each) for (owner, symbol), each in account.held.items()),
                prices={symbol: held.marks.value_at(symbol) for symbol in symbols},
                open_orders=tuple(key for key, each in held.orders.items() if each.account == SESSIONS),
                counted=tuple(order_id for at, order_id in held.ended if at >= since),
            )
        return books, now - timedelta(seconds=LOOK_BACK_SECONDS)

    def find_others(self) -> int:
        """Count the signals that were decided elsewhere a moment ago; return how many there were."""
        if self._recall is None:
            return 0
        with self._book.holdings() as held:
            known = [*held.orders, *(order_id for _, order_id in held.ended)]
        since = datetime.now(UTC) - timedelta(seconds=LOOK_BACK_SECONDS)
        found = 0
        for order, report in self._recall.recent(known, since):
            with self._book.holdings() as held:
                if any(order.order_id == order_id for _, order_id in held.ended):
                    continue  # ended here meanwhile
                found += held.adopt(order, SESSIONS, self._book.clock())
                if report is not None:
                    held.end(report, self._book.clock())
        return found

    def settle_the_missing(self) -> None:
        """Find out what became of orders that are in flight here and in no outbox any more.

        A check that was interrupted leaves one that never came to the outbox; a person resolves one of which
        nothing was known; one of another worker ends there. Each is looked for twice before it counts.
        """
        old = self._book.clock() - SETTLING_SECONDS
        with self._book.holdings() as held:
            in_flight = {
                key: each for key, each in held.orders.items() if each.account == SESSIONS and each.at <= old
            }
        missing = in_flight.keys() - set(self._unfinished())
        suspects, self._missing = missing & self._missing, missing
        if suspects:
            self._settle({key: in_flight[key] for key in suspects})

    def _settle(self, suspects: dict[str, Reservation]) -> None:
        endings = {} if self._recall is None else self._recall.endings(suspects.keys())
        for order_id, reservation in suspects.items():
            report = endings.get(order_id)
            if report is not None:
                self._book.settle(report)
            elif order_id not in endings and not reservation.unknown:
                self._book.release(order_id)
