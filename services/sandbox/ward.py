"""The sealed hosts of a worker: opens one per session, starts it again, gives it up, swaps its code."""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from signal import SIGKILL
from threading import Condition, Lock

import structlog

from models.errors import ConfigError, StorageError, StrategyError, StrategyQuarantined
from services.sandbox.budgets import Budgets
from services.sandbox.client import Zygote
from services.sandbox.conversation import Conversation, Hall
from services.sandbox.ending import Cause, Ending, ending_of
from services.sandbox.exchange import Exchange
from services.sandbox.link import Link
from services.sandbox.nurse import Nurse
from services.sandbox.orders import Ended
from services.sandbox.protocol import Load
from services.sandbox.strikes import PAUSES, StrikeBook
from services.sandbox.succession import succeed
from services.sandbox.told import EventEncoder

# Hosts that were a burden start again one by one.
APART_SECONDS = 0.1

log = structlog.get_logger(__name__)


class Ward:
    """Hosts by session key.

    The zygote is made at the first need by `open_zygote`, which is told what to call when it is lost. `open`,
    `prepare`, `reload` and `drain` wait; nothing else does.
    """

    def __init__(
        self,
        open_zygote: Callable[[Callable[[], None]], Zygote],
        strikes: StrikeBook,
        budgets: Budgets | None = None,
    ) -> None:
        self.ends: Counter[str] = Counter()
        self.spawns, self.spawn_seconds = 0, 0.0
        self.strikes = strikes
        self.exchange = Exchange()
        self._hall = Hall(self.exchange, EventEncoder(), budgets or Budgets())
        self._nurse = Nurse()
        self._open_zygote = open_zygote
        self._zygote: Zygote | None = None
        self._opening, self._lock = Lock(), Lock()
        self._changed = Condition(self._lock)
        self._talks: dict[str, Conversation] = {}
        self._conflated = 0
        self.started = False

    def open(self, load: Load) -> Link:
        """Start a host for a session and load it; its former host is ended.

        Raises StrategyError where the source makes no strategy or the session is quarantined, ConfigError
        where no code can be run here, StorageUnavailable.
        """
        key = load.session_key
        if (reason := self.strikes.quarantined(key)) is not None:
            raise StrategyQuarantined(reason)
        if (former := self._talks.get(key)) is not None:
            former.link.close()
        talk = self._make_talk(load)
        with self._lock:
            self._talks[key] = talk
        started = time.monotonic()
        self._load(talk)
        self.spawns += 1
        self.spawn_seconds += time.monotonic() - started
        return talk.link

    def links(self) -> dict[str, Link]:
        """Return the links that are not closed, by session key."""
        with self._lock:
            return {key: talk.link for key, talk in self._talks.items()}

    @property
    def conflated(self) -> int:
        """How many trades were left out for newer ones, in all."""
        return self._conflated + sum(link.conflated for link in self.links().values())

    def after(self, seconds: float, function: Callable[[], None]) -> None:
        """Have something done that may wait, on a thread that has time."""
        self._begin()
        self._nurse.do(function, seconds)

    def drain(self, timeout: float) -> bool:
        """Wait until every session has had its last words; false when `timeout` seconds were not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._talks, timeout)

    def stop(self, timeout: float) -> None:
        """End every host, and the threads."""
        if not self.started:
            return
        for link in self.links().values():
            link.close()
        self._nurse.stop(timeout)
        if self._zygote is not None:
            self._zygote.stop()
        self.exchange.stop(timeout)

    def reload(self, key: str, load: Load) -> None:
        """Have other code go on where a session's code is, between two events.

        Raises StrategyError where it does not start cleanly: then the code that ran goes on.
        """
        talk = self._talks.get(key)
        if talk is None or talk.wire is None:
            raise StrategyError(f"session {key} has no process that runs now")
        succeed(talk, self._load(self._make_talk(load)), self.exchange)

    def prepare(self, load: Load) -> Link:
        """Start a host that is of no session, and load it; it lives until it is closed. Raises as `open`."""
        return self._load(self._make_talk(load)).link

    def _load(self, talk: Conversation) -> Conversation:
        try:
            self._spawn(talk)
            talk.link.await_loaded()
        except BaseException:
            talk.link.close()
            raise
        return talk

    def _make_talk(self, load: Load) -> Conversation:
        talk: Conversation
        link = Link(load, lambda: self.exchange.schedule(talk), lambda: self._close(talk))
        talk = Conversation(link, self._hall)
        return talk

    def _begin(self) -> None:
        with self._opening:
            if not self.started:
                self.started = True
                _allow_all_descriptors()
                self.exchange.start()
                self._nurse.start()

    def _spawn(self, talk: Conversation, *, last: bool = False) -> None:
        """Fork a host; one comes `last` if the former was a burden. Raises ConfigError if none can be."""
        self._begin()
        with self._opening:
            if self._zygote is None:
                self._zygote = self._open_zygote(self._lose_zygote)
            zygote = self._zygote
        early: list[Ended] = []
        begun: list[bool] = []

        def heard(notice: Ended) -> None:
            if begun:
                self._ended(talk, notice)
            else:
                early.append(notice)

        def begin() -> None:
            talk.begin(process)
            begun.append(True)
            for notice in early:
                self._ended(talk, notice)

        process = zygote.spawn(lambda notice: self.exchange.call(partial(heard, notice)), last=last)
        self.exchange.call(begin)

    def _lose_zygote(self) -> None:
        log.error("sandbox_zygote_lost")
        self._zygote = None

    def _close(self, talk: Conversation) -> None:
        """Forget a talk that is over and end its host."""
        with self._lock:
            key = talk.link.load.session_key
            if self._talks.get(key) is talk:
                del self._talks[key]
                self._conflated += talk.link.conflated
                self._changed.notify_all()
        self.exchange.call(partial(talk.kill, Ending(Cause.STOPPED, "it was stopped")))

    def _ended(self, talk: Conversation, notice: Ended) -> None:
        """Decide what comes after the end of a host. On the thread of the exchange."""
        if talk.wire is None or talk.wire.process.number != notice.number:
            later = self._talks.get(talk.link.load.session_key)  # which its host may have passed on to
            if later is None or later.wire is None or later.wire.process.number != notice.number:
                return
            talk = later
        ending = ending_of(notice, talk.killed_for)
        from_outside = talk.killed_for is None and notice.signal in {None, SIGKILL} and notice.code is None
        talk.end(own_fault=not from_outside)
        link = talk.link
        if link.closed:
            return
        self.ends[ending.cause.value] += 1
        if not link.live:
            link.deliver_first(ending)
            return
        key = link.load.session_key
        verdict = self.strikes.strike(key, ending)
        log.error("sealed_process_ended", session=key, cause=ending.cause.value, reason=verdict.reason)
        self._nurse.do(lambda: self._write(key, ending, verdict.reason, verdict.pause))
        if verdict.pause is None:
            link.listener.quarantine(verdict.reason)
            return
        link.condition = verdict.reason
        link.restarts += 1
        again = partial(self._start_again, talk, last=not from_outside)
        self._nurse.do(again, verdict.pause, apart=0.0 if from_outside else APART_SECONDS)

    def _write(self, key: str, ending: Ending, reason: str, pause: float | None) -> None:
        try:
            self.strikes.write(key, ending, reason, quarantined=pause is None)
        except StorageError as error:
            log.warning("strike_not_written", session=key, reason=str(error))
            self._nurse.do(lambda: self._write(key, ending, reason, pause), PAUSES[1])

    def _start_again(self, talk: Conversation, *, last: bool) -> None:
        if talk.link.closed:
            return
        try:
            self._spawn(talk, last=last)
        except ConfigError as error:
            talk.link.condition = str(error)
            self._nurse.do(lambda: self._start_again(talk, last=last), PAUSES[1])


def _allow_all_descriptors() -> None:
    """Raise the limit to the highest: a host takes two."""
    _, most = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (most, most))
