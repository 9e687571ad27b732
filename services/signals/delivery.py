"""One signal on its way: what is known about it, and what one more answer adds to that."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from models.errors import NotSent, Refused, Uncertain
from models.lease import Standing
from services.signals.outbox import OutboxEntry
from services.signals.outcome import Failure, Outcome, executed, failed
from services.signals.verdict import Blocked, Executed, InProgress, NeverSeen, Rejected, RetryAfter, Verdict

NOT_SENT_IN_TIME = "not_sent_in_time"

# What came of one request: an answer that says something, or why there is none.
Result = Verdict | NotSent | Refused | Uncertain


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How to try again: `idempotent` gateways know a repeated id, others are read back first.

    The wait is drawn evenly from 0 to `first_seconds`, doubled after each failure, at most
    `longest_seconds`; `draw` gives numbers from 0 to 1. After `attempts` of which nothing was sent no more is
    tried; None leaves that to the time to live.
    """

    idempotent: bool
    draw: Callable[[], float]
    first_seconds: float = 0.2
    longest_seconds: float = 5.0
    attempts: int | None = None

    def backoff(self, failures: int) -> float:
        """Return the wait, in seconds, after so many failures (from 1)."""
        return self.draw() * min(self.first_seconds * 2.0 ** min(failures - 1, 16), self.longest_seconds)


class Delivery:
    """The state of a signal between two requests.

    `uncertain` is true while a request may have been executed without our knowing, from the beginning where
    the signal was found again after a crash; `reads_back` while the next request is to ask about that.
    `refusal` is set on a signal that is not to be sent any more; one that is uncertain is still asked about.
    """

    __slots__ = ("attempts", "entry", "failures", "reads_back", "reason", "refusal", "uncertain")

    def __init__(self, entry: OutboxEntry) -> None:
        self.entry = entry
        self.attempts = entry.attempts
        self.failures = 0
        self.uncertain = entry.ask_until is not None
        self.reads_back = False
        self.refusal = entry.refusal
        self.reason: str | None = None

    @property
    def session_key(self) -> str:
        """The session whose signals keep their order."""
        return self.entry.signal.session_key

    @property
    def gives_up_at(self) -> float:
        """When the signal ends whatever is known of it by then, in monotonic seconds."""
        entry = self.entry
        return entry.ask_until if self.uncertain and entry.ask_until is not None else entry.expires_at

    def prepare(self, now: float) -> None:
        """Have the next request ask where sending again is out of the question: too old, or refused."""
        if self.uncertain and (self.refusal is not None or now >= self.entry.expires_at):
            self.reads_back = True

    def ending(self, now: float) -> Outcome | None:
        """Return the outcome of a signal that is settled or refused or whose time is over, else None."""
        if self.entry.settled is not None:
            return self.entry.settled
        if self.refusal is not None and not self.uncertain:
            return self._failed("refused", self.refusal, now)
        if now < self.gives_up_at:
            return None
        return self._failed("unknown" if self.uncertain else "expired", self.reason or NOT_SENT_IN_TIME, now)

    def lost(self, now: float) -> Outcome:
        """Return the outcome of a signal whose session another worker holds by now: it is not sent here."""
        if not self.uncertain:
            return self._failed("refused", Standing.LOST, now)
        return replace(self._failed("unknown", Standing.LOST, now), halt_session=False, is_left=True)

    def settle(  # noqa: PLR0911 — one for each kind of result
        self, result: Result, now: float, policy: RetryPolicy
    ) -> Outcome | float | None:
        """Take the result of a request.

        Returns the outcome, or when to try again, or None: when the circuit closes.
        """
        match result:
            case Executed():
                return executed(self.entry.signal, result, self.attempts, now)
            case Refused():
                return self._failed("rejected", str(result), now)
            case Rejected() if result.settles or not self.uncertain:
                outcome = self._failed("rejected", result.reason, now)
                return replace(outcome, stop_session=result.stop_session)
            case Blocked() if not self.uncertain:
                return self._failed("rejected", result.reason, now)
            case NotSent() if policy.attempts and self.attempts >= policy.attempts and not self.uncertain:
                return self._failed("expired", f"not sent in {self.attempts} attempts: {result}", now)
            case NeverSeen():
                self.uncertain = self.reads_back = False
                return now
        self.failures += 1
        return self._next_try(result, now, policy)

    def _next_try(self, result: Result, now: float, policy: RetryPolicy) -> float | None:
        backoff = policy.backoff(self.failures)
        match result:
            case NotSent():
                self.reason = str(result)
                return None
            case Blocked():
                self.reason = result.reason
                return None
            case RetryAfter():
                self.reason = result.reason
                return now + (result.seconds or backoff)
            case InProgress():
                self.reason, self.uncertain = "in_progress", True
                return now + (result.seconds or backoff)
        self.reason = result.reason if isinstance(result, Rejected) else str(result)
        self.uncertain = True
        self.reads_back = not policy.idempotent
        return now + backoff

    def _failed(self, failure: Failure, reason: str, now: float) -> Outcome:
        return failed(self.entry.signal, failure, reason, self.attempts, now)
