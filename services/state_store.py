"""Where the states of sessions are kept: in PostgreSQL, or in Redis where there is none.

Both keep the newest state of each session, by the fencing number of its lease and then by `saved_at`: an
older one that arrives late changes nothing.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
import redis

from models.errors import StorageConflict, StorageUnavailable
from models.saved_state import SavedState
from services.db_client import Database
from services.redis_client import make_client

STATES = "strategy_worker:states"

LOAD = """
    SELECT session_key, symbol, strategy_id, class_name, source_hash, state::text, last_bars, position,
           open_signals, saved_at, fence
    FROM strategy_states WHERE session_key = %s
"""
SAVE = """
    INSERT INTO strategy_states AS held (session_key, symbol, strategy_id, class_name, source_hash, state,
                                         last_bars, position, open_signals, saved_at, fence)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (session_key) DO UPDATE
    SET symbol = excluded.symbol, strategy_id = excluded.strategy_id, class_name = excluded.class_name,
        source_hash = excluded.source_hash, state = excluded.state, last_bars = excluded.last_bars,
        position = excluded.position, open_signals = excluded.open_signals, saved_at = excluded.saved_at,
        fence = excluded.fence
    WHERE (held.fence, held.saved_at) <= (excluded.fence, excluded.saved_at)
"""
# A row of `sessions` says best when a session ended; of one without, the time of its last state tells.
PRUNE = """
    DELETE FROM strategy_states
    WHERE saved_at < %(before)s AND NOT session_key = ANY(%(present)s) AND NOT EXISTS (
        SELECT 1 FROM sessions
        WHERE session_id = session_key AND (status = 'RUNNING' OR ended_at >= %(before)s))
"""
# Times are compared as text: all are written with the same width, in UTC.
SAVE_IN_REDIS = """
    for index = 1, #ARGV, 4 do
        local held = redis.call('HGET', KEYS[1], ARGV[index])
        local readable, entry = pcall(cjson.decode, held or 'null')
        local known = readable and type(entry) == 'table'
        local moment = known and type(entry.saved_at) == 'string' and entry.saved_at or ''
        local fence = known and type(entry.fence) == 'number' and entry.fence or 0
        local given = tonumber(ARGV[index + 2])
        if fence < given or (fence == given and moment <= ARGV[index + 1]) then
            redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 3])
        end
    end
"""


class StateStore(Protocol):
    """Keeps the newest state of every session."""

    def load(self, session_key: str) -> SavedState | None:
        """Return the newest state, None where there is none.

        Raises StorageUnavailable, and StorageConflict for one that cannot be read.
        """

    def save(self, states: Sequence[SavedState]) -> None:
        """Keep the states, each in place of an older one of its session.

        Raises StorageUnavailable: perhaps some of them were kept, and all may be saved again.
        """

    def prune(self, before: datetime, present: Collection[str]) -> int:
        """Forget the states of sessions that ended before a moment and are not present; return how many.

        Raises StorageUnavailable.
        """


class PostgresStates:
    """Keeps states in the table `strategy_states`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, session_key: str) -> SavedState | None:
        """Return the newest state. Raises StorageUnavailable, StorageConflict, ConfigError without table."""
        with self._database.transaction() as cursor:
            cursor.execute(LOAD, (session_key,))
            row = cursor.fetchone()
        return None if row is None else _checked(dict(zip(SavedState.__struct_fields__, row, strict=True)))

    def save(self, states: Sequence[SavedState]) -> None:
        """Keep the states in one transaction. Raises StorageUnavailable, ConfigError without table."""
        rows = sorted(states, key=lambda state: state.session_key)  # one order of locks for every writer
        with self._database.transaction() as cursor:
            for state in rows:
                plain = msgspec.to_builtins(state)
                plain["last_bars"] = json.dumps(plain["last_bars"])
                plain["position"] = json.dumps(plain["position"])
                plain["open_signals"] = list(state.open_signals)
                cursor.execute(SAVE, tuple(plain.values()))

    def prune(self, before: datetime, present: Collection[str]) -> int:
        """Forget states of long ago. Raises StorageUnavailable, ConfigError without table."""
        with self._database.transaction() as cursor:
            cursor.execute(PRUNE, {"before": before, "present": list(present)})
            return cursor.rowcount


class RedisStates:
    """Keeps states in the Redis hash `strategy_worker:states`."""

    def __init__(self, redis_url: str) -> None:
        self._client = make_client(redis_url)

    def load(self, session_key: str) -> SavedState | None:
        """Return the newest state. Raises StorageUnavailable, StorageConflict."""
        try:
            entry: Any = self._client.hget(STATES, session_key)
        except redis.RedisError as error:
            raise StorageUnavailable(f"Redis does not give the state: {error}") from error
        if entry is None:
            return None
        try:
            return _checked(json.loads(entry))
        except ValueError as error:
            raise StorageConflict(f"the saved state cannot be read: {error}") from error

    def save(self, states: Sequence[SavedState]) -> None:
        """Keep the states in one step. Raises StorageUnavailable."""
        words: list[str] = []
        for state in states:
            moment = state.saved_at.isoformat(timespec="microseconds")
            entry = {**msgspec.to_builtins(state), "saved_at": moment}
            words += (state.session_key, moment, str(state.fence), json.dumps(entry))
        try:
            self._client.eval(SAVE_IN_REDIS, 1, STATES, *words)
        except redis.RedisError as error:
            raise StorageUnavailable(f"Redis does not take the states: {error}") from error

    def prune(self, before: datetime, present: Collection[str]) -> int:  # noqa: ARG002 — as for a database
        """Forget nothing: what is kept in Redis is for trying things."""
        return 0


def _checked(values: dict[str, Any]) -> SavedState:
    try:
        return msgspec.convert(values, SavedState)
    except msgspec.ValidationError as error:
        raise StorageConflict(f"the saved state cannot be read: {error}") from error
