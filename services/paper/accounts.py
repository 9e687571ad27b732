"""What users see of their accounts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services.db_client import Cursor, Database
from services.paper.refusal import RequestRefused
from services.paper.session_desk import DEFAULT_USER, ensure_user


@dataclass(frozen=True, slots=True)
class PositionRow:
    """What a session holds of a symbol now."""

    session_id: str
    symbol: str
    quantity: Decimal
    average_price: Decimal
    cost_basis: Decimal
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TradeRow:
    """One executed order. `realized_pnl` is None on a BUY."""

    trade_id: int
    signal_id: str
    session_id: str
    symbol: str
    action: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    realized_pnl: Decimal | None
    executed_at: datetime


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A user's account. `equity` counts what is held at its cost: the gateway knows no market prices."""

    user_id: str
    username: str
    balance: Decimal
    cost_basis: Decimal
    equity: Decimal
    realized_pnl: Decimal
    fees: Decimal
    trades: int
    positions: list[PositionRow]


_TRADES = """
    SELECT trade_id, signal_id, session_id, symbol, action, quantity, price, fee, realized_pnl, executed_at
    FROM trades
    WHERE user_id = %(user)s AND trade_id > %(after)s AND (%(session)s IS NULL OR session_id = %(session)s)
    ORDER BY trade_id
    LIMIT %(limit)s
"""

_POSITIONS = """
    SELECT session_id, symbol, quantity, average_price, quantity * average_price, updated_at
    FROM positions
    WHERE user_id = %(user)s AND (%(session)s IS NULL OR session_id = %(session)s)
    ORDER BY symbol, session_id
"""

_RESULTS = """
    SELECT count(*), coalesce(sum(realized_pnl), 0), coalesce(sum(fee), 0) FROM trades WHERE user_id = %s
"""


class Accounts:
    """Reads users, positions and trades. Every method may raise StorageError.

    A user begins with the first session, the default user is always there; the methods about a user raise
    RequestRefused (404) for one not seen yet.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def portfolio(self, user_id: str) -> Portfolio:
        """Return a user's cash, positions and results, all of one moment."""
        with self._snapshot(user_id) as cursor:
            cursor.execute("SELECT username, virtual_balance FROM users WHERE user_id = %s", (user_id,))
            [(username, balance)] = cursor.fetchall()
            cursor.execute(_RESULTS, (user_id,))
            [(trades, realized_pnl, fees)] = cursor.fetchall()
            positions = _positions(cursor, user_id, None)
        cost_basis = sum((each.cost_basis for each in positions), Decimal(0))
        return Portfolio(
            user_id=user_id,
            username=username,
            balance=balance,
            cost_basis=cost_basis,
            equity=balance + cost_basis,
            realized_pnl=realized_pnl,
            fees=fees,
            trades=trades,
            positions=positions,
        )

    def positions(self, user_id: str, session_id: str | None = None) -> list[PositionRow]:
        """Return what a user holds, in all sessions or in one."""
        with self._snapshot(user_id) as cursor:
            return _positions(cursor, user_id, session_id)

    def trades(self, user_id: str, session_id: str | None, *, after: int, limit: int) -> list[TradeRow]:
        """Return up to `limit` trades past the id `after`, oldest first."""
        with self._snapshot(user_id) as cursor:
            asked = {"user": user_id, "session": session_id, "after": after, "limit": limit}
            cursor.execute(_TRADES, asked)
            return [TradeRow(*row) for row in cursor.fetchall()]

    @contextmanager
    def _snapshot(self, user_id: str) -> Iterator[Cursor]:
        """Give a transaction that sees one moment, for a user that exists."""
        if user_id == DEFAULT_USER:
            with self._database.transaction() as cursor:
                ensure_user(cursor, user_id)
        with self._database.transaction() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute("SELECT FROM users WHERE user_id = %s", (user_id,))
            if not cursor.rowcount:
                raise RequestRefused(404, "unknown_user", f"there is no user {user_id}")
            yield cursor


def _positions(cursor: Cursor, user_id: str, session_id: str | None) -> list[PositionRow]:
    cursor.execute(_POSITIONS, {"user": user_id, "session": session_id})
    return [PositionRow(*row) for row in cursor.fetchall()]
