"""The Redis hash in which every session is kept, so that a restart finds it again and others can see it."""

import json
from collections.abc import Callable
from datetime import datetime
from threading import Event, Thread
from typing import Annotated, Any

import msgspec
import redis
import structlog

from models.errors import StorageUnavailable
from models.market_data import SYMBOL_PATTERN
from models.session import AssetType, SessionIdentity, SessionRecord, SessionState
from services.redis_client import make_client

REGISTRY = "strategy_worker:sessions"
FIELDS = ("symbol", "type", "strategyId", "sessionId", "state", "reason", "startedAt")
RETRY_SECONDS = 1.0
# To Python's own expressions, which msgspec uses, $ is also the place before a line break at the end.
WHOLE_SYMBOL = SYMBOL_PATTERN.removesuffix("$") + r"\Z"

log = structlog.get_logger(__name__)


class SessionRegistry:
    """Writes changes of sessions on a thread of its own: nobody waits for Redis.

    Changes of one session that follow each other quickly are written once, as it stands then. What could not
    be written is tried again for ever. A change goes from `_changed` to `_writing` to `_written`, and is in
    the next one before it leaves the last: who looks in that order misses none. What another worker runs is
    its to write: `is_ours` tells by the key.
    """

    def __init__(self, redis_url: str, worker: str, is_ours: Callable[[str], bool] = lambda _: True) -> None:
        self._client = make_client(redis_url)
        self._worker = worker
        self._is_ours = is_ours
        self._describe: Callable[[], list[dict[str, Any]]] = list
        self._changed: set[str] = set()
        self._writing: set[str] = set()
        self._written: set[str] = set()
        self._news = Event()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="session-registry", daemon=True)

    def start(self, describe: Callable[[], list[dict[str, Any]]]) -> None:
        """Begin to write; `describe` gives every session that is there now, in the names of the wire."""
        self._describe = describe
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Write what changed until now, for at most `timeout` seconds, and nothing that changes later."""
        self._stop.set()
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        self._client.close()

    def changed(self, key: str) -> None:
        """Have a session written, or removed where it is gone. Never waits; safe from every thread."""
        self._changed.add(key)
        self._news.set()

    def load(self) -> dict[str, SessionRecord]:
        """Return every session that was written, but for those that changed since: of them Redis knows less.

        For one thread at a time. Raises StorageUnavailable.
        """
        self._written = set()
        try:
            entries: Any = self._client.hgetall(REGISTRY)
        except redis.RedisError as error:
            raise StorageUnavailable(f"Redis does not give the sessions: {error}") from error
        changed = self._changed.copy()
        changed |= self._writing
        changed |= self._written
        records = {}
        for key, entry in entries.items():
            try:
                record = _decode(key.decode(), entry)
            except (ValueError, msgspec.MsgspecError) as error:
                log.warning("registry_entry_refused", session=key.decode(errors="replace"), reason=str(error))
                continue
            if record.identity.key not in changed:
                records[record.identity.key] = record
        return records

    def _run(self) -> None:
        while not self._stop.is_set() or self._changed:
            self._news.wait()
            self._news.clear()
            try:
                self._write()
            except redis.RedisError as error:
                log.warning("registry_not_written", waiting=len(self._changed), error=str(error))
            except Exception:  # one session that cannot be described must not end the record of the others
                log.exception("registry_failed")
            else:
                continue
            if self._stop.wait(RETRY_SECONDS):
                return
            self._news.set()

    def _write(self) -> None:
        self._writing = keys = self._changed.copy()
        self._changed -= keys
        try:
            self._write_down(keys)
        except BaseException:
            self._changed |= keys
            self._writing = set()
            raise
        self._written |= keys
        self._writing = set()

    def _write_down(self, keys: set[str]) -> None:
        held = {session["key"]: session for session in self._describe()}
        written: Any = {
            key: _encode(held[key], self._worker)
            for key in keys
            if key in held and held[key]["state"] != SessionState.STANDBY and self._is_ours(key)
        }
        gone = [key for key in keys if key not in held]
        pipeline = self._client.pipeline(transaction=False)
        if written:
            pipeline.hset(REGISTRY, mapping=written)
        if gone:
            pipeline.hdel(REGISTRY, *gone)
        pipeline.execute()


class _Entry(msgspec.Struct, rename="camel"):
    symbol: Annotated[str, msgspec.Meta(pattern=WHOLE_SYMBOL)]
    type: AssetType
    strategy_id: str
    started_at: Annotated[datetime, msgspec.Meta(tz=True)]
    state: SessionState
    session_id: str | None = None
    reason: str | None = None


def _encode(described: dict[str, Any], worker: str) -> str:
    return json.dumps({name: described[name] for name in FIELDS} | {"worker": worker})


def _decode(key: str, entry: bytes) -> SessionRecord:
    read = msgspec.json.decode(entry, type=_Entry)
    identity = SessionIdentity(
        key=key,
        symbol=read.symbol,
        asset_type=read.type,
        strategy_id=read.strategy_id,
        session_id=read.session_id,
        started_at=read.started_at,
    )
    return SessionRecord(identity=identity, state=read.state, reason=read.reason)
