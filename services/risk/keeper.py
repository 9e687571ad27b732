"""The thread that keeps risk: looks at days, writes events and states, finds what nobody told of.

`check` never waits for it; what it does late is done late, and nothing is approved for it.
"""

from collections.abc import Callable
from threading import Event, Thread

import structlog

from models.errors import ConfigError, StorageError
from services.risk.desk import RiskDesk
from services.risk.kill_switch import Resume
from services.risk.recorder import Recorder
from services.risk.session_books import SessionBooks
from services.risk.states import StateKeeping
from services.telemetry.logs import Throttle

ROUND_SECONDS = 0.5
# Every so many rounds orders are looked for that nobody tells of.
ROUNDS_PER_SEARCH = 10
LOG_SECONDS = 10.0

log = structlog.get_logger(__name__)
throttle = Throttle(LOG_SECONDS)


class RiskKeeper:
    """Does what the desk needs done, twice a second. `reason` says what it cannot do now, None when it can.

    `resume` gives the last word to resume; `sessions` are the books of plain sessions, None where those are
    not checked.
    """

    def __init__(
        self,
        desk: RiskDesk,
        recorder: Recorder,
        states: StateKeeping,
        sessions: SessionBooks | None,
        resume: Callable[[], Resume | None],
    ) -> None:
        self.reason: str | None = None
        self._desk = desk
        self._recorder = recorder
        self._states = states
        self._sessions = sessions
        self._resume = resume
        self._rounds = 0
        self._stop = Event()
        self._thread = Thread(target=self._run, name="risk-keeper", daemon=True)

    def start(self) -> None:
        """Take up what was saved, now where the store answers, else as soon as it does."""
        if self._try(self._load):
            self._try(self._look)
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Write what is left, for at most `timeout` seconds; false where that was not enough."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive() and not len(self._recorder)

    def _run(self) -> None:
        while not self._stop.wait(ROUND_SECONDS):
            self._round()
        self._round()

    def _round(self) -> None:
        """Do each of the duties, whatever becomes of the others."""
        failed = [duty for duty in (self._load, self._look, self._search, self._save) if not self._try(duty)]
        self._try(self._write)
        if not failed:
            self.reason = None

    def _try(self, duty: Callable[[], object]) -> bool:
        try:
            duty()
        except (StorageError, ConfigError) as error:
            self.reason = str(error)
            throttle.log(
                log.warning, "risk_not_kept", key=duty.__name__, duty=duty.__name__, reason=str(error)
            )
            return False
        except Exception:  # the loop of a thread: whatever is wrong with one round, the next one must come
            log.exception("risk_round_failed")
            return False
        return True

    def _load(self) -> None:
        if not self._states.is_loaded:
            self._states.load()

    def _look(self) -> None:
        if not self._states.is_loaded:
            return
        word = self._resume()
        if word is not None and word.id != self._states.resumed:
            self._states.resumed = word.id
            self._desk.resume(word.account, by=word.by or "somebody")
        self._desk.book.look()
        self._desk.tell_news()

    def _search(self) -> None:
        if self._sessions is None or not self._states.is_loaded:
            return
        self._sessions.find_others()
        self._rounds += 1
        if self._rounds % ROUNDS_PER_SEARCH == 0:
            self._sessions.settle_the_missing()

    def _save(self) -> None:
        if self._states.is_loaded:
            self._states.save()

    def _write(self) -> None:
        self._recorder.write()
