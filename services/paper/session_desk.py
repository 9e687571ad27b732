"""Starts and stops sessions: first the row, then the news of it.

The row is the truth. When Redis is away the session is started or stopped all the same, and the reply says
that nobody was told; a worker finds out when it next compares its sessions with the table.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import uuid4

from models.errors import StorageUnavailable
from models.market_data import ControlEvent
from models.session import AssetType
from services.db_client import Cursor, Database
from services.paper.decoding import SessionRequest
from services.paper.publisher import Publisher
from services.paper.refusal import RequestRefused

DEFAULT_USER = "paper"
TURN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A row of the table `sessions`, with its columns in their order."""

    session_id: str
    strategy_id: str
    user_id: str
    symbol: str
    type: AssetType
    mode: str
    status: str
    started_at: datetime
    ended_at: datetime | None

    def event(self, action: Literal["subscribe", "unsubscribe"]) -> ControlEvent:
        """Return the control event about this session."""
        return ControlEvent(
            action=action,
            symbol=self.symbol,
            type=self.type,
            strategy_id=self.strategy_id,
            session_id=self.session_id,
        )


@dataclass(frozen=True, slots=True)
class Change:
    """A session as it is now, and whether workers were told."""

    session: SessionRow
    published: bool


class SessionDesk:
    """Where users start and stop their sessions.

    One at a time: what is published must come in the order of the rows, or the end of a symbol's last
    session could end the one that was started right after it.
    """

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._publisher = publisher
        self._turn = threading.Lock()

    def start(self, request: SessionRequest) -> Change:
        """Write a running session and publish its subscription; a user not seen before is made.

        Raises RequestRefused (409) when the session id is taken, StorageError.
        """
        with self._in_turn():
            with self._database.transaction() as cursor:
                session = _insert(cursor, request)
            return Change(session, self._publisher.subscribe(session.event("subscribe")))

    def stop(self, session_id: str) -> Change:
        """Stop a session and publish that; stopping it again publishes again.

        Raises RequestRefused (404) when there is none of that id, StorageError.
        """
        with self._in_turn():
            with self._database.transaction() as cursor:
                session = _stop(cursor, session_id)
                of_type, of_symbol = _running(cursor, session)
            published = self._publisher.unsubscribe(
                session.event("unsubscribe"), last_of_type=not of_type, last_of_symbol=not of_symbol
            )
            return Change(session, published)

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=TURN_SECONDS):
            raise StorageUnavailable("other sessions are being started and stopped, none gets through")
        try:
            yield
        finally:
            self._turn.release()


def ensure_user(cursor: Cursor, user_id: str) -> None:
    """Make a user with the default balance, unless there is one of that id."""
    cursor.execute(
        "INSERT INTO users (user_id, username) VALUES (%s, %s) ON CONFLICT (user_id) DO NOTHING",
        (user_id, user_id),
    )


def _insert(cursor: Cursor, request: SessionRequest) -> SessionRow:
    user_id = request.user_id or DEFAULT_USER
    session_id = request.session_id or str(uuid4())
    ensure_user(cursor, user_id)
    cursor.execute(
        "INSERT INTO sessions (session_id, strategy_id, user_id, symbol, type) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (session_id) DO NOTHING",
        (session_id, request.strategy_id, user_id, request.symbol, request.type),
    )
    if not cursor.rowcount:
        raise RequestRefused(409, "session_exists", f"there is a session {session_id} already")
    return _read(cursor, session_id)


def _stop(cursor: Cursor, session_id: str) -> SessionRow:
    cursor.execute(
        "UPDATE sessions SET status = 'STOPPED', ended_at = now()"
        " WHERE session_id = %s AND status = 'RUNNING'",
        (session_id,),
    )
    return _read(cursor, session_id)


def _read(cursor: Cursor, session_id: str) -> SessionRow:
    cursor.execute(
        "SELECT session_id, strategy_id, user_id, symbol, type, mode, status, started_at, ended_at"
        " FROM sessions WHERE session_id = %s",
        (session_id,),
    )
    row = cursor.fetchone()
    if row is None:
        raise RequestRefused(404, "unknown_session", f"there is no session {session_id}")
    return SessionRow(*row)


def _running(cursor: Cursor, session: SessionRow) -> tuple[int, int]:
    """Count the running sessions of the same symbol: of the same type, and of any."""
    cursor.execute(
        "SELECT count(*) FILTER (WHERE type = %s), count(*)"
        " FROM sessions WHERE symbol = %s AND status = 'RUNNING'",
        (session.type, session.symbol),
    )
    [(of_type, of_symbol)] = cursor.fetchall()
    return of_type, of_symbol
