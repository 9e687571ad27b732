"""Risk events and the books of sessions in a real PostgreSQL: written, lost when too many, found again."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from models.errors import StorageConflict, StorageUnavailable
from models.risk import Refused, Rule
from models.risk_event import RiskEvent, Severity
from services.db_client import Database, migrate
from services.embedded import EmbeddedPostgres
from services.risk.account import Account
from services.risk.events import SESSIONS
from services.risk.recall import SignalRecall
from services.risk.recorder import WAITING, PostgresEvents, Recorder
from services.risk.saved import BEFORE_EVERYTHING, SavedBooks
from services.risk.session_books import SessionBooks
from tests.integration.durable_outbox import execute
from tests.sample_risk import filled, limits, make_book, order

EXECUTION = str(uuid4())


def event(**changes: Any) -> RiskEvent:
    fields: dict[str, Any] = {
        "event_id": str(uuid4()),
        "event_type": Rule.ORDER_SIZE,
        "severity": Severity.WARNING,
        "description": "too much",
        "action_taken": "refused",
        "created_at": datetime.now(UTC),
        "session_key": "s1",
        "data": {"value": "100000.01", "symbol": "AAPL"},
    }
    return RiskEvent(**{**fields, **changes})


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, connect_timeout=1.0, statement_timeout=2.0)
    yield database
    database.close()


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.transaction() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


class Kept:
    """A recorder, and what it counted."""

    def __init__(self, store: Any) -> None:
        self.seen = Counter[str]()
        self.outcomes = Counter[str]()
        self.recorder = Recorder(store, lambda each: self.seen.update([each.event_type]), self._note)

    def _note(self, written: int, lost: int) -> None:
        self.outcomes.update(written=written, lost=lost)


def test_events_are_written_once_with_everything_they_tell(database: Database) -> None:
    kept = Kept(PostgresEvents(database))
    about_session, about_all = event(), event(session_key=None, event_type=Rule.KILL_SWITCH)
    about_execution = event(session_key=None, execution_id=EXECUTION)
    for each in (about_session, about_execution, about_all):
        kept.recorder.add(each)
    assert kept.recorder.write()
    kept.recorder.add(about_session)  # a COMMIT that was not confirmed is given again
    assert kept.recorder.write()
    found = rows(database, "SELECT event_id, execution_id, session_key, data FROM risk_events")
    expected = {
        (each.event_id, each.execution_id, each.session_key)
        for each in (about_session, about_execution, about_all)
    }
    assert {row[:3] for row in found} == expected
    assert found[0][3] == {"value": "100000.01", "symbol": "AAPL"}
    assert kept.seen == {"order_size": 3, "kill_switch": 1}


def test_one_event_that_is_refused_holds_up_no_other(database: Database) -> None:
    kept = Kept(PostgresEvents(database))
    for number in range(7):
        kept.recorder.add(event(execution_id=EXECUTION) if number == 3 else event())  # about two things
    assert kept.recorder.write()
    assert rows(database, "SELECT count(*) FROM risk_events") == [(6,)]
    assert kept.outcomes == {"written": 6, "lost": 1}


def test_while_the_database_is_away_events_wait_and_the_oldest_are_lost(
    own_postgres: EmbeddedPostgres,
) -> None:
    migrate(own_postgres.url)
    database = Database(own_postgres.url, connect_timeout=1.0)
    kept = Kept(PostgresEvents(database))
    own_postgres.kill()
    for number in range(WAITING + 10):
        kept.recorder.add(event(data={"number": number}))
    assert not kept.recorder.write()
    assert (len(kept.recorder), kept.outcomes["lost"]) == (WAITING, 10)
    kept.recorder.add(event(data={"number": WAITING + 10}))
    own_postgres.restart()
    assert kept.recorder.write()
    found = "SELECT count(*), min((data ->> 'number')::int) FROM risk_events"
    assert rows(database, found) == [(WAITING, 11)]
    assert kept.outcomes == {"written": WAITING, "lost": 11}
    database.close()


@pytest.mark.parametrize(
    "changes",
    [
        "execution_id = gen_random_uuid()",
        "event_type = 'whatever'",
        "severity = 'LOUD'",
        "action_taken = 'ignored'",
        "data = '[]'",
        "created_at = 'infinity'",
    ],
)
def test_the_table_refuses_events_that_cannot_be(database: Database, changes: str) -> None:
    PostgresEvents(database).write([event()])
    with pytest.raises(StorageConflict), database.transaction() as cursor:
        cursor.execute(f"UPDATE risk_events SET {changes}")  # noqa: S608 — constants of this test


@pytest.mark.parametrize("changes", ["opening_value = 'NaN'", "halted_reason = 'why'", "books = '[]'"])
def test_the_table_refuses_states_that_cannot_be(database: Database, changes: str) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO risk_state (account, trading_day, opening_value, saved_at)"
            " VALUES ('s', now(), 0, now())"
        )
    with pytest.raises(StorageConflict), database.transaction() as cursor:
        cursor.execute(f"UPDATE risk_state SET {changes}")  # noqa: S608 — constants of this test


class Sessions:
    """The books of plain sessions over the table of signals."""

    def __init__(self, database: Database) -> None:
        self.unfinished: list[str] = []
        self.book = make_book(price_max_age=None)
        account = Account(limits=limits(), fixed_value=Decimal(100_000))
        self.books = SessionBooks(self.book, account, SignalRecall(database), lambda: self.unfinished)

    def held(self) -> dict[tuple[str, str], Decimal]:
        with self.book.holdings() as held:
            return dict(held.accounts[SESSIONS].held)

    def in_flight(self) -> set[str]:
        with self.book.holdings() as held:
            return set(held.orders)

    def cash(self) -> Decimal:
        with self.book.holdings() as held:
            return held.accounts[SESSIONS].cash


def record(url: str, signal_id: str, status: str, age: float = 0.0, **changes: Any) -> None:
    """Write the row of a signal: BUY 10 AAPL at 100 of session s1, filled for 99.5 with a fee of 1."""
    fields = {
        "action": "BUY",
        "session_key": "s1",
        "quantity": 10,
        "filled": changes.get("quantity", 10),
        **changes,
    }
    report = "NULL"
    if status not in {"pending", "sending", "unknown"}:
        executed = status == "executed"
        report = f"""'{{"signal_id": "{signal_id}", "symbol": "AAPL", "action": "{fields["action"]}",
            "quantity": {fields["quantity"]}, "status": "{"filled" if executed else status}",
            "filled_quantity": {fields["filled"] if executed else 0},
            "filled_price": {"99.5" if executed else "null"}, "fee": {1 if executed else 0}}}'"""
    execute(
        url,
        f"""INSERT INTO signals (signal_id, session_key, strategy_id, symbol, action, price, quantity,
                confidence, metadata, status, created_at, finished_at, report, body, worker)
            VALUES ('{signal_id}', '{fields["session_key"]}', 'mock', 'AAPL', '{fields["action"]}', 100,
                {fields["quantity"]}, 1, '{{}}', '{status}', now() - interval '{age} seconds',
                {"NULL" if status in {"pending", "sending"} else "now()"}, {report}, '{{}}', 1)""",  # noqa: S608
    )


def test_the_books_are_what_the_table_of_signals_tells(database_url: str, database: Database) -> None:
    record(database_url, "old", "executed", age=10**6)
    record(database_url, "sold", "executed", action="SELL", quantity=4)
    record(database_url, "other", "executed", session_key="s2", quantity=5, filled=2.5)
    record(database_url, "waits", "sending")
    record(database_url, "lost", "unknown", action="SELL")
    for status in ("rejected", "expired", "refused"):
        record(database_url, status, status)
    sessions = Sessions(database)
    sessions.books.open(None, BEFORE_EVERYTHING)
    assert sessions.held() == {("s1", "AAPL"): Decimal(6), ("s2", "AAPL"): Decimal("2.5")}
    assert sessions.cash() == -Decimal("99.5") * (10 - 4 + Decimal("2.5")) - 3
    assert sessions.in_flight() == {"waits", "lost"}


def test_only_what_came_since_is_counted_on_top_of_what_was_saved(
    database_url: str, database: Database
) -> None:
    now = datetime.now(UTC)
    saved = SavedBooks(
        cash=Decimal(-1000),
        held=(("s1", "AAPL", Decimal(10)),),
        open_orders=("was-open", "still-open"),
        counted=("counted",),
    )
    record(database_url, "before", "executed", age=3600)
    record(database_url, "was-open", "executed", age=3600, quantity=1)
    record(database_url, "still-open", "sending", age=3600)
    record(database_url, "counted", "executed")
    record(database_url, "since", "executed", quantity=2)
    sessions = Sessions(database)
    sessions.books.open(saved, now - timedelta(seconds=60))
    assert sessions.held() == {("s1", "AAPL"): Decimal(13)}
    assert sessions.in_flight() == {"still-open"}
    assert sessions.books.find_others() == 0  # none of them counts twice
    assert sessions.held() == {("s1", "AAPL"): Decimal(13)}


def test_saved_and_opened_again_the_books_are_the_same(database_url: str, database: Database) -> None:
    sessions = Sessions(database)
    sessions.books.open(None, BEFORE_EVERYTHING)
    done, open_order = order(quantity="7"), order(quantity="3")
    for each in (done, open_order):
        sessions.book.judge(each, SESSIONS)
    record(database_url, done.order_id, "executed", quantity=7)
    record(database_url, open_order.order_id, "sending", quantity=3)
    sessions.book.settle(filled(done))
    saved, saved_at = sessions.books.save()
    again = Sessions(database)
    again.books.open(saved, saved_at)
    assert again.held() == sessions.held() == {("s1", "AAPL"): Decimal(7)}
    assert again.in_flight() == {open_order.order_id}
    assert again.cash() == sessions.cash()


def test_signals_of_another_worker_are_counted_soon(database_url: str, database: Database) -> None:
    sessions = Sessions(database)
    sessions.books.open(None, BEFORE_EVERYTHING)
    record(database_url, "executed-there", "executed", quantity=2)
    record(database_url, "waits-there", "pending", quantity=3)
    assert sessions.books.find_others() == 2
    assert sessions.books.find_others() == 0
    assert sessions.held() == {("s1", "AAPL"): Decimal(2)}
    assert sessions.in_flight() == {"waits-there"}


def test_signals_of_executions_are_in_books_of_their_own(database_url: str, database: Database) -> None:
    execute(
        database_url,
        f"""INSERT INTO strategy_executions (execution_id, strategy_id, user_id, approved_at, config)
            VALUES ('{EXECUTION}', gen_random_uuid(), gen_random_uuid(), now(), '{{}}')""",  # noqa: S608
    )
    record(database_url, "of-execution", "executed", session_key=EXECUTION)
    sessions = Sessions(database)
    sessions.books.open(None, BEFORE_EVERYTHING)
    assert sessions.held() == {}
    assert sessions.books.find_others() == 0


def test_orders_that_nobody_tells_of_are_found_out_about(database_url: str, database: Database) -> None:
    sessions = Sessions(database)
    record(database_url, "lost", "unknown")
    sessions.books.open(None, BEFORE_EVERYTHING)
    orders = {name: order(order_id=name) for name in ("never-sent", "on-its-way", "ended-unheard")}
    with sessions.book.holdings() as held:
        for each in orders.values():
            held.adopt(each, SESSIONS, sessions.book.clock() - 60.0)
    record(database_url, "ended-unheard", "rejected")
    sessions.unfinished = ["on-its-way"]
    sessions.books.settle_the_missing()
    assert sessions.in_flight() == {*orders, "lost"}  # a second look is needed
    sessions.books.settle_the_missing()
    assert sessions.in_flight() == {"on-its-way", "lost"}
    execute(database_url, "DELETE FROM signals WHERE signal_id = 'lost'")
    record(database_url, "lost", "executed")
    sessions.books.settle_the_missing()
    assert sessions.in_flight() == {"on-its-way"}
    assert sessions.held() == {("s1", "AAPL"): Decimal(10)}


def test_without_a_table_or_a_database_the_books_stay_closed() -> None:
    away = Database("postgresql://nobody@127.0.0.1:9/none", connect_timeout=1.0)
    sessions = Sessions(away)
    with pytest.raises(StorageUnavailable):
        sessions.books.open(None, BEFORE_EVERYTHING)
    verdict = sessions.book.judge(order(), SESSIONS)
    assert isinstance(verdict, Refused)
    assert verdict.rule is Rule.MISSING_DATA
