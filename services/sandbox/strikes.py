"""How often the hosts of a session ended by its own fault, and which sessions are quarantined for it."""

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.db_client import Database
from services.sandbox.ending import Cause, Ending

STRIKES = 3
WITHIN = timedelta(minutes=10)
PAUSES = (1.0, 5.0, 30.0)
LIFT = "session resume brings it back"

READ = """
    SELECT struck_at, quarantined, reason FROM sandbox_strikes
    WHERE session_key = %s AND (quarantined OR struck_at > %s) ORDER BY struck_at
"""
WRITE = """
    INSERT INTO sandbox_strikes (session_key, struck_at, cause, reason, quarantined)
    VALUES (%s, %s, %s, %s, %s)
"""
PARDON = "DELETE FROM sandbox_strikes WHERE session_key = %s"


class Verdict(NamedTuple):
    """What becomes of a session whose host ended: a new one after `pause` seconds, or None, quarantine."""

    pause: float | None
    reason: str


def judge(ending: Ending, struck: deque[datetime], now: datetime) -> Verdict:
    """Decide, and note the strike in `struck`, where those of the last ten minutes are kept."""
    if ending.cause is Cause.ZYGOTE_LOST:
        return Verdict(PAUSES[0], f"its process ended: {ending.reason}; it starts again")
    while struck and struck[0] <= now - WITHIN:
        struck.popleft()
    struck.append(now)
    said = f"its process ended: {ending.reason}"
    if ending.cause is Cause.FORBIDDEN_CALL:
        return Verdict(None, f"{said}; {LIFT}")
    if len(struck) >= STRIKES:
        minutes = WITHIN.total_seconds() / 60
        return Verdict(None, f"{said}, the {STRIKES}rd time in {minutes:g} minutes; {LIFT}")
    pause = PAUSES[min(len(struck), len(PAUSES)) - 1]
    return Verdict(pause, f"{said}; it starts again in {pause:g} s ({len(struck)} of {STRIKES})")


class StrikeBook:
    """Strikes by session, in the database where there is one. Safe from every thread.

    Its methods raise StorageUnavailable, all but `pardon`.
    """

    def __init__(self, database: Database | None) -> None:
        self._database = database
        self._struck: dict[str, deque[datetime]] = {}
        self._quarantined: dict[str, str] = {}
        self._pardoned: set[str] = set()

    def pardon(self, key: str) -> None:
        """A person says that a session may run again, and that its strikes are forgotten."""
        self._pardoned.add(key)
        self._struck.pop(key, None)
        self._quarantined.pop(key, None)

    def quarantined(self, key: str) -> str | None:
        """Return why a session must not run, or None; learn of its strikes by others."""
        now = datetime.now(UTC)
        if self._database is None:
            self._pardoned.discard(key)
            return self._quarantined.get(key)
        with self._database.transaction() as cursor:
            if key in self._pardoned:
                cursor.execute(PARDON, (key,))
            cursor.execute(READ, (key, now - WITHIN))
            rows = cursor.fetchall()
        self._pardoned.discard(key)
        self._struck[key] = deque(at for at, quarantined, _ in rows if not quarantined)
        return next((str(reason) for _, quarantined, reason in rows if quarantined), None)

    def strike(self, key: str, ending: Ending) -> Verdict:
        """Count the end of a host; return what follows. `write` it afterwards."""
        verdict = judge(ending, self._struck.setdefault(key, deque()), datetime.now(UTC))
        if verdict.pause is None:
            self._quarantined[key] = verdict.reason
        return verdict

    def write(self, key: str, ending: Ending, reason: str, *, quarantined: bool) -> None:
        """Keep a strike over restarts."""
        if self._database is None or ending.cause is Cause.ZYGOTE_LOST:
            return
        row = (key, datetime.now(UTC), ending.cause.value, reason, quarantined)
        with self._database.transaction() as cursor:
            cursor.execute(WRITE, row)
