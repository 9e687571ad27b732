"""Portfolio executions as this gateway sees them: orders under an execution's id are its user's."""

from typing import NamedTuple
from uuid import UUID

from services.db_client import Cursor
from services.paper.session_desk import ensure_user

_OPEN = """
    SELECT strategy_id::text, user_id::text, ARRAY(SELECT jsonb_array_elements_text(config -> 'symbols'))
    FROM strategy_executions
    WHERE execution_id = %s AND status IN ('active', 'paused', 'error')
    FOR KEY SHARE
"""

# Positions and trades refer to a session. This one never runs: no worker starts anything for it.
_STAND_IN = """
    INSERT INTO sessions (session_id, strategy_id, user_id, symbol, type, status, ended_at)
    VALUES (%s, %s, %s, %s, %s, 'STOPPED', now())
    ON CONFLICT (session_id) DO NOTHING
"""


class OpenExecution(NamedTuple):
    """An execution that has not ended: whose it is, and what it may trade."""

    user_id: str
    symbols: tuple[str, ...]


def open_execution(cursor: Cursor, session_id: str) -> OpenExecution | None:
    """Return the execution of this id unless it has ended, with an account to book its orders to."""
    try:
        execution_id = str(UUID(session_id))
    except ValueError:
        return None
    cursor.execute(_OPEN, (execution_id,))
    row = cursor.fetchone()
    if row is None:
        return None
    strategy_id, user_id, symbols = row
    ensure_user(cursor, user_id)
    kind = "crypto" if "/" in symbols[0] else "stock"
    cursor.execute(_STAND_IN, (session_id, strategy_id, user_id, symbols[0], kind))
    return OpenExecution(user_id, tuple(symbols))
