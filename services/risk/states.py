"""Loads what risk was before a restart, and saves what changed."""

from datetime import UTC, datetime

import structlog

from services.risk.book import RiskBook
from services.risk.day_watch import EVERYTHING
from services.risk.days import Day
from services.risk.events import SESSIONS
from services.risk.saved import BEFORE_EVERYTHING, SavedAccount, SavedBooks
from services.risk.session_books import SessionBooks
from services.risk.state_store import RiskStates

log = structlog.get_logger(__name__)


class StateKeeping:
    """The days of all accounts, and the books of plain sessions where those are checked (`sessions`).

    `resumed` is the last word to resume that was heeded. For one thread at a time; methods raise
    StorageUnavailable, StorageConflict for a state that cannot be read, ConfigError where a table is missing.
    """

    def __init__(self, store: RiskStates, book: RiskBook, sessions: SessionBooks | None) -> None:
        self.resumed: str | None = None
        self.is_loaded = False
        self._store = store
        self._book = book
        self._sessions = sessions
        self._written: dict[str, SavedAccount] = {}

    def load(self) -> None:
        """Take up days and books where they were."""
        found = {each.account: each for each in self._store.load()}
        if EVERYTHING in found:
            self.resumed = found[EVERYTHING].books.resumed
        if self._sessions is not None:
            saved = found.get(SESSIONS)
            books, saved_at = (saved.books, saved.saved_at) if saved else (None, BEFORE_EVERYTHING)
            self._sessions.open(books, saved_at)
        self._book.remember({name: each.day for name, each in found.items()})
        self._written = found
        self.is_loaded = True
        log.info("risk_state_loaded", accounts=len(found))

    def recall(self) -> None:
        """Take the days of accounts that another worker had until now, as it left them. From any thread."""
        if self.is_loaded:
            self._book.recall({each.account: each.day for each in self._store.load()})

    def save(self) -> None:
        """Write what changed since the last time."""
        with self._book.holdings() as held:
            days = {name: each.day for name, each in held.accounts.items() if each.day is not None}
            if not days and not self._written:
                return  # nothing is measured, and nothing ever was
            days |= {} if self._book.days.all is None else {EVERYTHING: self._book.days.all}
        states = [self._state(name, day) for name, day in days.items()]
        changed = [each for each in states if not each.says_the_same(self._written.get(each.account))]
        gone = [name for name in self._written if name not in days and self._may_forget(name)]
        if changed or gone:
            self._store.save(changed, gone, self._book.days.today or datetime.now(UTC).date())
        self._written |= {each.account: each for each in changed}
        for name in gone:
            del self._written[name]

    def _state(self, name: str, day: Day) -> SavedAccount:
        books, saved_at = SavedBooks(), datetime.now(UTC)
        if name == EVERYTHING:
            books = SavedBooks(resumed=self.resumed)
        elif name == SESSIONS and self._sessions is not None:
            books, saved_at = self._sessions.save()
        return SavedAccount(account=name, day=day, books=books, saved_at=saved_at)

    def _may_forget(self, name: str) -> bool:
        """Whether an account that is not there is of another day: one of today may be opened again."""
        today = self._book.days.all
        return name != SESSIONS and today is not None and self._written[name].day.day < today.day
