"""Where risk states are kept: in PostgreSQL, or in Redis where there is none."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Protocol

import msgspec
import redis

from models.errors import StorageConflict, StorageUnavailable
from services.db_client import Database
from services.redis_client import make_client
from services.risk.day_watch import EVERYTHING
from services.risk.days import Day
from services.risk.saved import SavedAccount, SavedBooks

STATES = "strategy_worker:risk"
KEEP = """
    local held = ARGV[1] == ARGV[3] and redis.call('HGET', KEYS[1], ARGV[1])
    if held then
        local old, new = cjson.decode(held), cjson.decode(ARGV[2])
        local was, is = old.day.halted or cjson.null, new.day.halted or cjson.null
        local heeded = (old.books or {}).resumed or cjson.null
        if was ~= cjson.null and is == cjson.null and old.day.day == new.day.day
            and heeded == ((new.books or {}).resumed or cjson.null) then
            return
        end
    end
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
"""

LOAD = """
    SELECT account, trading_day, opening_value, warned, halted_reason, halted_at, books::text, saved_at
    FROM risk_state
"""
SAVE = """
    INSERT INTO risk_state AS held (account, trading_day, opening_value, warned, halted_reason, halted_at,
                                    books, saved_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (account) DO UPDATE
    SET trading_day = excluded.trading_day, opening_value = excluded.opening_value,
        warned = excluded.warned, halted_reason = excluded.halted_reason, halted_at = excluded.halted_at,
        books = excluded.books, saved_at = excluded.saved_at
    WHERE NOT (
        held.account = %s AND held.halted_reason IS NOT NULL AND excluded.halted_reason IS NULL
        AND held.trading_day = excluded.trading_day
        AND held.books ->> 'resumed' IS NOT DISTINCT FROM excluded.books ->> 'resumed')
"""
# What is of today another worker may measure now: it is not ours to forget.
FORGET = "DELETE FROM risk_state WHERE account = ANY(%s) AND trading_day < %s"


class RiskStates(Protocol):
    """Keeps the state of every account.

    A halt of everything stays over what a worker saves of the same day that has not halted, until one has
    heeded a word to resume that who halted had not.
    """

    def load(self) -> list[SavedAccount]:
        """Return every account. Raises StorageUnavailable, and StorageConflict for what cannot be read."""

    def save(self, accounts: Sequence[SavedAccount], gone: Sequence[str], before: date = date.max) -> None:
        """Keep accounts in place of what was kept of them; those that are gone no longer, if of earlier days.

        Raises StorageUnavailable: perhaps it was done, and may be done again.
        """


class PostgresRiskStates:
    """Keeps states in the table `risk_state`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> list[SavedAccount]:
        """Return every account. Raises StorageUnavailable, StorageConflict, ConfigError without table."""
        with self._database.transaction() as cursor:
            cursor.execute(LOAD)
            rows = cursor.fetchall()
        return [
            SavedAccount(
                account=account,
                day=Day(day=day, opening=opening, halted=halted, halted_at=halted_at, warned=warned),
                books=_read(books, SavedBooks),
                saved_at=saved_at,
            )
            for account, day, opening, warned, halted, halted_at, books, saved_at in rows
        ]

    def save(self, accounts: Sequence[SavedAccount], gone: Sequence[str], before: date = date.max) -> None:
        """Keep accounts, and forget those that are gone, in one transaction. Raises StorageUnavailable."""
        with self._database.transaction() as cursor:
            if gone:
                cursor.execute(FORGET, (list(gone), before))
            for each in sorted(accounts, key=lambda one: one.account):
                day, books = each.day, msgspec.json.encode(each.books).decode()
                row = (each.account, day.day, day.opening, day.warned, day.halted, day.halted_at)
                cursor.execute(SAVE, (*row, books, each.saved_at, EVERYTHING))


class RedisRiskStates:
    """Keeps states in the Redis hash `strategy_worker:risk`."""

    def __init__(self, redis_url: str) -> None:
        self._client = make_client(redis_url)

    def load(self) -> list[SavedAccount]:
        """Return every account. Raises StorageUnavailable, StorageConflict."""
        try:
            entries: Any = self._client.hvals(STATES)
        except redis.RedisError as error:
            raise StorageUnavailable(f"Redis does not give the risk states: {error}") from error
        return [_read(entry, SavedAccount) for entry in entries]

    def save(self, accounts: Sequence[SavedAccount], gone: Sequence[str], before: date = date.max) -> None:  # noqa: ARG002
        """Keep accounts, and forget those that are gone. Raises StorageUnavailable.

        Without a database there are no executions, so that no other worker has accounts of its own here.
        """
        pipeline = self._client.pipeline(transaction=True)
        if gone:
            pipeline.hdel(STATES, *gone)
        for each in accounts:
            pipeline.eval(KEEP, 1, STATES, each.account, msgspec.json.encode(each).decode(), EVERYTHING)
        try:
            pipeline.execute()
        except redis.RedisError as error:
            raise StorageUnavailable(f"Redis does not take the risk states: {error}") from error


def _read(entry: str | bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(entry, type=kind)
    except msgspec.MsgspecError as error:
        raise StorageConflict(f"a saved risk state cannot be read: {error}") from error
