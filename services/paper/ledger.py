"""Books orders in PostgreSQL, each exactly once, and remembers every answer."""

from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from typing import Any, NamedTuple

from psycopg2.extras import Json

from services.db_client import Cursor, Database
from services.paper.booking import Fill, Holding, Order, Shortfall, Terms, decide
from services.paper.decoding import Request
from services.paper.executions import OpenExecution, open_execution

_LOCK_ACCOUNT = """
    SELECT status, user_id, virtual_balance, symbol
    FROM sessions JOIN users USING (user_id)
    WHERE session_id = %s
    FOR SHARE OF sessions FOR NO KEY UPDATE OF users
"""

_LOCK_POSITION = """
    SELECT quantity, average_price
    FROM positions
    WHERE user_id = %s AND session_id = %s AND symbol = %s
    FOR UPDATE
"""

_WRITE_POSITION = """
    INSERT INTO positions (user_id, session_id, symbol, quantity, average_price)
    VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (user_id, session_id, symbol)
    DO UPDATE SET quantity = EXCLUDED.quantity, average_price = EXCLUDED.average_price
"""

_WRITE_TRADE = """
    INSERT INTO trades
        (signal_id, session_id, user_id, symbol, action, quantity, price, fee, realized_pnl)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
    RETURNING trade_id
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply of the gateway. `replayed` when it was given before and is only told again."""

    status_code: int
    body: dict[str, Any]
    replayed: bool = False

    @property
    def executed(self) -> bool:
        """Whether the order was filled, rather than rejected."""
        return self.status_code == HTTPStatus.CREATED


class _Account(NamedTuple):
    user_id: str
    balance: Decimal


class Ledger:
    """Executes orders against balances and positions.

    One transaction takes its locks in one order, so that none waits for another in a circle: the receipt of
    the signal, its session, the user, the position. The first makes the same signal wait for itself, the
    third makes orders of one user wait for each other; users do not wait for users.
    """

    def __init__(self, database: Database, terms: Terms) -> None:
        self._database = database
        self._terms = terms

    def execute(self, request: Request) -> Answer:
        """Book an order, or repeat the answer that its signal got before.

        201 filled; 400 the account lacks funds or position; 404 the session is unknown or stopped; 422 the
        signal was another one. All but the last are remembered. Raises StorageError.
        """
        order = request.order
        with self._database.transaction() as cursor:
            if not _claim(cursor, request):
                return _repeat(cursor, request)
            account = _running_account(cursor, order)
            answer = account if isinstance(account, Answer) else self._book(cursor, order, account)
            cursor.execute(
                "UPDATE paper_receipts SET status_code = %s, reply = %s WHERE signal_id = %s",
                (answer.status_code, Json(answer.body), order.signal_id),
            )
        return answer

    def find(self, signal_id: str) -> Answer | None:
        """Return the remembered answer to a signal, None when it was never seen. Raises StorageError."""
        with self._database.transaction() as cursor:
            cursor.execute("SELECT status_code, reply FROM paper_receipts WHERE signal_id = %s", (signal_id,))
            row = cursor.fetchone()
        return None if row is None else Answer(row[0], row[1], replayed=True)

    def _book(self, cursor: Cursor, order: Order, account: _Account) -> Answer:
        holding = _holding(cursor, order, account.user_id)
        outcome = decide(order, self._terms, account.balance, holding)
        if isinstance(outcome, Shortfall):
            return _refused(400, outcome.error, outcome.message)
        _write_account(cursor, order, account.user_id, outcome)
        return Answer(
            201,
            {
                "status": "filled",
                "orderId": _write_trade(cursor, order, account.user_id, outcome),
                "filledQuantity": float(order.quantity),
                "filledPrice": float(outcome.price),
                "balance": float(outcome.balance),
                **({"fee": float(outcome.fee)} if outcome.fee else {}),
            },
        )


def _refused(status_code: int, error: str, message: str) -> Answer:
    return Answer(status_code, {"error": error, "message": message})


def _claim(cursor: Cursor, request: Request) -> bool:
    """Make the receipt of a signal; false when there is one. Waits while another transaction makes it."""
    cursor.execute(
        "INSERT INTO paper_receipts (signal_id, session_id, request_hash) VALUES (%s, %s, %s)"
        " ON CONFLICT (signal_id) DO NOTHING",
        (request.order.signal_id, request.order.session_id, request.fingerprint),
    )
    return cursor.rowcount == 1


def _repeat(cursor: Cursor, request: Request) -> Answer:
    cursor.execute(
        "SELECT request_hash, status_code, reply FROM paper_receipts WHERE signal_id = %s",
        (request.order.signal_id,),
    )
    [(fingerprint, status_code, reply)] = cursor.fetchall()
    if fingerprint != request.fingerprint:
        message = "this Idempotency-Key was used for another order; a new decision needs a new signalId"
        return _refused(422, "idempotency_key_reused", message)
    return Answer(status_code, reply, replayed=True)


def _running_account(cursor: Cursor, order: Order) -> _Account | Answer:
    """Lock a running session against being stopped meanwhile, and its user; or say why there is none.

    The id may be that of an execution, which trades several symbols.
    """
    session_id = order.session_id
    cursor.execute(_LOCK_ACCOUNT, (session_id,))
    row = cursor.fetchone()
    if row is None or row[0] != "RUNNING":
        if (execution := open_execution(cursor, session_id)) is not None:
            return _execution_account(cursor, order, execution)
        if row is None:
            return _refused(404, "unknown_session", f"there is no session {session_id}")
        return _refused(404, "session_not_running", f"session {session_id} is {row[0]}")
    if order.symbol != row[3]:
        return _refused(400, "symbol_mismatch", f"session {session_id} trades {row[3]}, not {order.symbol}")
    return _Account(row[1], row[2])


def _execution_account(cursor: Cursor, order: Order, execution: OpenExecution) -> _Account | Answer:
    if order.symbol not in execution.symbols:
        message = f"execution {order.session_id} trades {', '.join(execution.symbols)}, not {order.symbol}"
        return _refused(400, "symbol_mismatch", message)
    cursor.execute(_LOCK_ACCOUNT, (order.session_id,))
    [(_, user_id, balance, _)] = cursor.fetchall()
    return _Account(user_id, balance)


def _holding(cursor: Cursor, order: Order, user_id: str) -> Holding:
    cursor.execute(_LOCK_POSITION, (user_id, order.session_id, order.symbol))
    row = cursor.fetchone()
    return Holding() if row is None else Holding(*row)


def _write_account(cursor: Cursor, order: Order, user_id: str, fill: Fill) -> None:
    cursor.execute("UPDATE users SET virtual_balance = %s WHERE user_id = %s", (fill.balance, user_id))
    key = (user_id, order.session_id, order.symbol)
    if not fill.holding.quantity:
        cursor.execute("DELETE FROM positions WHERE user_id = %s AND session_id = %s AND symbol = %s", key)
        return
    cursor.execute(
        _WRITE_POSITION,
        (*key, fill.holding.quantity, fill.holding.average_price),
    )


def _write_trade(cursor: Cursor, order: Order, user_id: str, fill: Fill) -> str:
    """Write the trade and return its id, which is the order's id too."""
    cursor.execute(
        _WRITE_TRADE,
        (
            order.signal_id,
            order.session_id,
            user_id,
            order.symbol,
            order.action,
            order.quantity,
            fill.price,
            fill.fee,
            fill.realized_pnl,
        ),
    )
    [(trade_id,)] = cursor.fetchall()
    return str(trade_id)
