"""The kill switch: a key of Redis that stops every order, whoever gives it.

It is read several times a second on a thread of its own; whoever sends reads what is known here, and never
waits. While Redis is away what was known last holds; before anything is known nothing is sent.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any, Protocol
from uuid import uuid4

import msgspec
import redis
import structlog
from msgspec import Struct

from services.redis_client import make_client
from services.telemetry.logs import Throttle

HALT = "strategy_worker:halt"
RESUME = "strategy_worker:resume"
POLL_SECONDS = 0.25
LOG_SECONDS = 10.0
NOT_KNOWN = "whether trading is halted is not known yet: Redis has not answered"
UNREADABLE = "the key strategy_worker:halt is set, but cannot be read"

log = structlog.get_logger(__name__)
throttle = Throttle(LOG_SECONDS)


class Halt(Struct, frozen=True, kw_only=True):
    """What is in the key while everything is halted: why, since when (ISO 8601), by whom."""

    reason: str = "no reason given"
    at: str = ""
    by: str = ""

    @property
    def words(self) -> str:
        """Why, and by whom."""
        return f"{self.reason} (by {self.by})" if self.by else self.reason


class Resume(Struct, frozen=True, kw_only=True):
    """A person's word to trade again. Each has an id, so that it is heeded once.

    `account` is whose daily loss is forgiven, everybody's when None.
    """

    id: str
    at: str = ""
    by: str = ""
    account: str | None = None


class Switch(Protocol):
    """What those who send need of it."""

    @property
    def is_known(self) -> bool:
        """Whether it is known if trading is halted."""

    @property
    def reason(self) -> str | None:
        """Why nothing may be sent now; None where orders may."""


class SwitchOff:
    """A switch that nobody else has: as it is made, orders may always go out."""

    def __init__(self) -> None:
        self.is_known = True
        self.reason: str | None = None


class SwitchBoard:
    """Sets the switch and takes it off: for the commands. Methods raise redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def read(self) -> Halt | None:
        """Return the halt in force."""
        given: Any = self._client.get(HALT)
        return None if given is None else read_halt(given)

    def halt(self, reason: str, by: str) -> Halt:
        """Stop every order from now on; what was there before is replaced."""
        halt = Halt(reason=reason, at=_now(), by=by)
        self._client.set(HALT, json.dumps(msgspec.to_builtins(halt)))
        return halt

    def resume(self, by: str, account: str | None = None) -> Halt | None:
        """Let orders out again, and forgive daily losses; return the halt that was in force."""
        word = Resume(id=str(uuid4()), at=_now(), by=by, account=account)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.get(HALT)
        pipeline.set(RESUME, json.dumps(msgspec.to_builtins(word)))
        if account is None:
            pipeline.delete(HALT)
        given: Any = pipeline.execute()[0]
        return None if given is None else read_halt(given)


class KillSwitch:
    """Knows whether trading is halted. `on_change` is told of each new halt, and of its end with None.

    A server that lost its memory is no reason to trade again: a key that is gone from a server that was
    started since is set anew, unless somebody gave the word to resume.
    """

    def __init__(self, redis_url: str, on_change: Callable[[Halt | None], None]) -> None:
        self.resume: Resume | None = None
        self._client = make_client(redis_url)
        self._on_change = on_change
        self._halt: Halt | None = None
        self._is_known = False
        self._server = ""
        self._stop = Event()
        self._thread = Thread(target=self._run, name="kill-switch", daemon=True)

    @property
    def is_known(self) -> bool:
        """Whether Redis has answered since the start."""
        return self._is_known

    @property
    def reason(self) -> str | None:
        """Why nothing may be sent now; None where orders may."""
        if not self._is_known:
            return NOT_KNOWN
        halt = self._halt
        return None if halt is None else halt.words

    def start(self) -> None:
        """Ask once, so that it is known where Redis answers, then again and again on a thread."""
        self._look()
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread, or leave it behind after `timeout` seconds; what is known stays."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self._look()
        self._client.close()

    def _look(self) -> None:
        try:
            self._read()
        except redis.RedisError as error:
            throttle.log(
                log.warning,
                "kill_switch_not_read",
                key="kill_switch",
                reason=str(error),
                known=self._is_known,
            )
        except Exception:  # the loop of a thread: whatever is wrong now, the next look must come
            log.exception("kill_switch_failed")

    def _read(self) -> None:
        given: Any = self._client.mget(HALT, RESUME)
        halt = None if given[0] is None else read_halt(given[0])
        word = None if given[1] is None else _read_resume(given[1])
        was_resumed = word is not None and (self.resume is None or word.id != self.resume.id)
        if self._halt is not None or halt is not None:
            server = self._run_id()
            if halt is None and not was_resumed and server != self._server:
                halt = self._halt
                self._set_again(halt, given[1])
            self._server = server
        if word is not None:
            self.resume = word
        changed, self._halt, self._is_known = halt != self._halt, halt, True
        if changed and halt is not None:
            log.error("trading_halted", reason=halt.words)
        elif changed:
            log.warning("trading_resumed")
        if changed:
            self._on_change(halt)

    def _set_again(self, halt: Halt | None, word: bytes | None) -> None:
        """Set a halt that was forgotten. Raises WatchError where somebody says to resume meanwhile."""
        with self._client.pipeline(transaction=True) as change:
            change.watch(RESUME)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
            if change.get(RESUME) != word:
                raise redis.WatchError("somebody gave the word to resume")
            change.multi()
            change.set(HALT, json.dumps(msgspec.to_builtins(halt)), nx=True)
            change.execute()
        log.error("halt_set_again", advice="Redis was restarted and had forgotten it")

    def _run_id(self) -> str:
        """Return what this server process calls itself."""
        info: Any = self._client.info("server")
        return str(info["run_id"])


def read_halt(given: bytes) -> Halt:
    """Read the key; whatever is in it, it is a halt."""
    try:
        return msgspec.json.decode(given, type=Halt)
    except msgspec.MsgspecError:
        return Halt(reason=UNREADABLE)


def _read_resume(given: bytes) -> Resume | None:
    try:
        return msgspec.json.decode(given, type=Resume)
    except msgspec.MsgspecError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
