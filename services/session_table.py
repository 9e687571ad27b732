"""The table `sessions`, which the platform writes: the truth about every session that has a row there."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from models.session import AssetType, SessionIdentity
from services.db_client import Database

RUNNING_ROWS = """
    SELECT session_id, symbol, type, strategy_id, started_at FROM sessions WHERE status = 'RUNNING'
"""
ENDED_ROWS = """
    SELECT session_id FROM sessions WHERE session_id = ANY(%s) AND status <> 'RUNNING'
"""


# The newest of each session: until a person has resolved it, nobody knows what the session holds.
UNKNOWN_OUTCOMES = """
    SELECT DISTINCT ON (session_key) session_key, signal_id, reason FROM signals
    WHERE status = 'unknown' ORDER BY session_key, number DESC
"""


class SessionRows(Struct, frozen=True):
    """What the tables say: which sessions should run, and which of those asked about should not.

    `unknown` holds those that sent a signal whose outcome nobody knows, with which it is and why.
    """

    running: tuple[SessionIdentity, ...] = ()
    ended: frozenset[str] = frozenset()
    unknown: Mapping[str, str] = {}


class SessionTable:
    """Reads the table `sessions`, and from `signals` whose orders have an unknown outcome."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, session_ids: Iterable[str]) -> SessionRows:
        """Return what should run, and which of `session_ids` have a row that says otherwise.

        A session without a row is in neither. Raises StorageUnavailable, and ConfigError where a table
        is missing.
        """
        with self._database.transaction() as cursor:
            cursor.execute(RUNNING_ROWS)
            running = tuple(_identity(*row) for row in cursor.fetchall())
            cursor.execute(ENDED_ROWS, (list(session_ids),))
            ended = {row[0] for row in cursor.fetchall()}
            cursor.execute(UNKNOWN_OUTCOMES)
            unknown = {key: f"signal {signal_id}: {reason}" for key, signal_id, reason in cursor.fetchall()}
        return SessionRows(running, frozenset(ended - {identity.key for identity in running}), unknown)


def _identity(
    session_id: str, symbol: str, asset_type: AssetType, strategy_id: str, started_at: datetime
) -> SessionIdentity:
    return SessionIdentity(
        key=session_id,
        symbol=symbol,
        asset_type=asset_type,
        strategy_id=strategy_id,
        session_id=session_id,
        started_at=started_at,
    )
