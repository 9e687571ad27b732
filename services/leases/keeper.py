"""Keeps the leases of this worker: renews them, takes over what others left, gives back what is not needed.

The thread beats three times or more within the life of a lease. What changes hands is told to the rest of the
worker by callbacks, outside of any lock.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Event, Lock, Thread

import msgspec
import structlog

from models.errors import StorageUnavailable
from services.leases.holdings import Holdings, lease_clock
from services.leases.process import ProcessIdentity, is_surely_dead
from services.leases.table import Claims, LeaseTable, batches
from services.telemetry.logs import Throttle

BEATS_PER_LIFE = 3
LONGEST_BEAT_SECONDS = 2.0
# How much sooner a lease ends by the worker's own clock than by that of Redis: for clocks that differ a
# little, and for the moment between looking at it and sending.
MARGIN = 1 / 6
RETRY_SECONDS = 0.5
# A session that was taken and not needed yet is about to be started, or its signals are about to be found.
PATIENCE_SECONDS = 60.0
LOG_SECONDS = 10.0

log = structlog.get_logger(__name__)
throttle = Throttle(LOG_SECONDS)


@dataclass(frozen=True)
class LeaseHooks:
    """What the keeper asks of the worker around it, on its own thread; nothing of it may wait.

    `standing_by` gives the sessions that another worker held when this one wanted them, `needed` those that
    this one has something to do for. `lost(session, owner)` tells of one that was taken, `won` that some of
    those standing by are this worker's now, `confirmed` that leases are certain again.
    """

    standing_by: Callable[[], Iterable[str]]
    needed: Callable[[], set[str]]
    lost: Callable[[str, str], None]
    won: Callable[[], None]
    confirmed: Callable[[], None]


class LeaseKeeper:
    """Claims sessions for this worker and keeps what it was given.

    `seconds` is how long a lease lives without a renewal. `reason` says why leases are not certain at the
    moment, None when they are; `holdings` is what this worker knows of its own.
    """

    def __init__(
        self,
        table: LeaseTable,
        holdings: Holdings,
        seconds: float,
        clock: Callable[[], float] = lease_clock,
    ) -> None:
        self.reason: str | None = "not spoken to Redis yet"
        self._table = table
        self.holdings = holdings
        self._seconds = seconds
        self._clock = clock
        self._beat_seconds = min(seconds / BEATS_PER_LIFE, LONGEST_BEAT_SECONDS)
        self._hooks: LeaseHooks
        self._absent: set[str] = set()
        self._idle: dict[str, float] = {}
        self._used: set[str] = set()
        self._swept = False
        self._is_retiring = False
        self._lock = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="lease-keeper", daemon=True)

    def attend(self, hooks: LeaseHooks) -> None:
        """Ask and tell this worker. Before the first beat."""
        self._hooks = hooks

    def start(self) -> None:
        """Begin to renew and to take over."""
        self._thread.start()

    def retire(self) -> None:
        """Keep what is held until `stop`, and take nothing over any more."""
        self._is_retiring = True

    def stop(self, timeout: float) -> None:
        """Renew nothing any more, and leave everything to others at once, if Redis answers."""
        self._stop.set()
        self.holdings.news.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        try:
            self._table.leave()
        except StorageUnavailable as error:
            log.warning("leases_not_returned", reason=str(error))
        self._table.close()

    def __contains__(self, key: str) -> bool:
        """Whether a session is this worker's, as far as is known."""
        return key in self.holdings

    def owner(self, key: str) -> str | None:
        """Take a session; return the worker that has it, None for this one. Raises StorageUnavailable."""
        return self.claim([key]).get(key)

    def claim(self, keys: Iterable[str]) -> dict[str, str]:
        """Take sessions for this worker; return those that another one holds, with its name.

        What is held already costs nothing. Raises StorageUnavailable.
        """
        with self._lock:
            asked = [(key, True) for key in dict.fromkeys(keys) if key not in self.holdings]
            return self._take(asked)

    def beat(self) -> None:
        """Renew, take over, give back: one turn of the thread. Raises StorageUnavailable.

        After a time without Redis nothing is taken over at first: the others may have been cut off, too, and
        are to say that they live.
        """
        was_cut_off = self.reason is not None
        self._renew()
        self.reason = None
        if not self._swept:
            self._table.sweep()
            self._swept = True
        if not self._is_retiring:
            self._take_over(set() if was_cut_off else set(self._hooks.standing_by()))
            self._give_back()
        self._hooks.confirmed()

    def _run(self) -> None:
        wait = 0.0
        while not self._stop.is_set():
            self.holdings.news.wait(wait)
            self.holdings.news.clear()
            if self._stop.is_set():
                return
            wait = self._beat_seconds
            try:
                self.beat()
            except StorageUnavailable as error:
                self.reason = str(error)
                wait = min(wait, RETRY_SECONDS)
                throttle.log(log.warning, "leases_unconfirmed", key="leases", reason=self.reason)
            except Exception:  # the loop of a thread: without the next beat others take everything
                log.exception("lease_beat_failed")

    def _renew(self) -> None:
        """Confirm what is held; it counts from the moment before Redis was asked."""
        held = self.holdings.since()
        for batch in list(batches(held)) or [[]]:
            until = self._until()
            for grant in self._table.renew(batch, self.holdings.highest):
                if grant.owner == self._table.instance:
                    self.holdings.hold(grant.key, grant.fence, grant.since, until)
                else:
                    self.holdings.lose(grant.key)
                    log.error("lease_lost", session=grant.key, owner=grant.owner)
                    self._hooks.lost(grant.key, grant.owner)

    def _take_over(self, standing_by: set[str]) -> None:
        """Claim what stands by.

        What nobody holds is taken at the second look: its owner may only not have noticed yet that Redis
        forgot it.
        """
        wanted = self.holdings.wanted.copy()
        standing_by -= wanted
        asked = [(key, True) for key in wanted if key not in self.holdings]
        asked += [(key, key in self._absent) for key in standing_by if key not in self.holdings]
        with self._lock:
            others = self._take(asked)
        self.holdings.wanted -= wanted
        self._absent = {key for key in standing_by if key not in self.holdings and key not in others}
        if any(key in self.holdings for key in standing_by):
            self._hooks.won()

    def _take(self, asked: Sequence[tuple[str, bool]]) -> dict[str, str]:
        others: dict[str, str] = {}
        for batch in batches(asked):
            claims = self._claim(batch)
            dead = self._bury(claims.others)
            if dead:
                again = {grant.key for grant in claims.grants if grant.owner in dead}
                others |= self._take([each for each in batch if each[0] in again])
            for grant in claims.grants:
                if grant.owner not in {"", self._table.instance, *dead}:
                    others[grant.key] = grant.owner
        return others

    def _claim(self, batch: Sequence[tuple[str, bool]]) -> Claims:
        until = self._until()
        claims = self._table.claim(batch, self.holdings.highest)
        former: Counter[str] = Counter()
        for grant in claims.grants:
            if grant.owner == self._table.instance:
                self.holdings.hold(grant.key, grant.fence, grant.since, until)
                former[grant.former] += 1
        for owner, sessions in former.items():
            if owner:
                log.warning("lease_taken_over", owner=owner, sessions=sessions)
        return claims

    def _bury(self, others: dict[str, str]) -> set[str]:
        """Return which of these workers are surely dead, once Redis knows it too."""
        dead = set()
        for instance, said in others.items():
            try:
                identity = msgspec.json.decode(said, type=ProcessIdentity)
            except (ValueError, msgspec.MsgspecError):
                continue  # of another version: it lives until its time is over
            if is_surely_dead(identity):
                self._table.bury(instance, said)
                dead.add(instance)
        return dead

    def _give_back(self) -> None:
        """Release what nobody here needs any more, after a while; what was never needed, after a long one."""
        now, needed = time.monotonic(), self._hooks.needed()
        held = set(self.holdings.keys())
        self.holdings.remember_lost(needed)
        self._used = (self._used | needed) & held
        self._idle = {key: self._idle.get(key, now) for key in held - needed}
        due = [
            key
            for key, since in self._idle.items()
            if now - since >= (self._beat_seconds if key in self._used else PATIENCE_SECONDS)
        ]
        for batch in batches(due):
            with self._lock:
                needed = self._hooks.needed()
                released = [key for key in batch if key not in needed]
                self._table.release(released)
                for key in released:
                    self.holdings.release(key)

    def _until(self) -> float:
        return self._clock() + self._seconds * (1 - MARGIN)
