"""What other threads want of running sessions, handed to the one thread that may call them."""

from collections import deque
from threading import Event
from typing import TYPE_CHECKING

from services.call_times import CallTimes
from services.session import Session
from services.turn import Errand, Letter

if TYPE_CHECKING:
    from collections.abc import Callable


class Mailbox:
    """A queue into the data thread, in order of arrival.

    Its length is bounded by what feeds it: one report per signal in the outbox, one stop per session.
    """

    def __init__(self) -> None:
        self.letters: deque[tuple[Session, Letter] | Event] = deque()
        self.wake: Callable[[], None] = _nobody

    def post(self, session: Session, event: Letter) -> None:
        """Have the data thread call `session.handle(event)` soon."""
        self.letters.append((session, event))
        self.wake()

    def flush(self, timeout: float) -> bool:
        """Wait until everything posted before was handled; false when `timeout` seconds were not enough."""
        reached = Event()
        self.letters.append(reached)
        self.wake()
        return reached.wait(timeout)

    def deliver(self) -> None:
        """Handle everything posted so far. For the data thread only."""
        times = CallTimes()
        while self.letters:
            letter = self.letters.popleft()
            if isinstance(letter, Event):
                letter.set()
            else:
                session, event = letter
                session.handle(event)
                if isinstance(event, Errand) and event.many_calls:
                    times.restart()
                else:
                    times.called(session)


def _nobody() -> None:
    """Nobody waits for the mailbox yet."""
