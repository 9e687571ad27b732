"""How long the call at hand has been under way, as somebody sees it who looks again and again."""

import time

from services.turn import Callee, InputEvent, Turn

LOOKS_PER_DEADLINE = 10
MISSED_LOOKS = 3


class CallWatch:
    """Times the calls of a turn by looking at it every `interval` seconds.

    Calls cost nothing by being watched: one is the same as at the last look when its session and its event
    are. A look that comes late says nothing about the call, because the machine may have held up both.
    """

    def __init__(self, turn: Turn, deadline: float) -> None:
        self.interval = deadline / LOOKS_PER_DEADLINE
        self.session: Callee | None = None
        self.event: InputEvent | None = None
        self._turn = turn
        self._since = 0.0
        self._looked_at = time.monotonic()

    def look(self) -> float:
        """Return for how many seconds the call of `session` with `event` has been seen; 0.0 for a new one."""
        now = time.monotonic()
        session, event = self._turn.session, self._turn.event
        is_late = now - self._looked_at > MISSED_LOOKS * self.interval
        if is_late or session is not self.session or event is not self.event:
            self._since = now
        self.session, self.event, self._looked_at = session, event, now
        return now - self._since

    def is_still(self) -> bool:
        """Say whether the call that was last seen is under way at this moment."""
        turn = self._turn
        return self.session is not None and turn.session is self.session and turn.event is self.event
