"""Carries signals from the outbox to the gateway or the OMS: a few threads around the dispatcher.

The only code that sends.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from models.errors import NotSent, Refused, Uncertain
from services.risk.kill_switch import Switch
from services.signals.circuit import BLOCKED_PROBES, Circuit
from services.signals.crew import Crew, Hand
from services.signals.delivery import Delivery, Result, RetryPolicy
from services.signals.dispatcher import Dispatcher, Ending, Probe, Task
from services.signals.fence import Fence
from services.signals.outbox import Outbox, OutboxEntry
from services.signals.outcome import Outcome
from services.signals.route import Route
from services.signals.verdict import Reply

# An idle thread looks around this often even if nobody wakes it.
IDLE_SECONDS = 1.0

log = structlog.get_logger(__name__)

OnOutcome = Callable[[OutboxEntry, Outcome], None]


@dataclass(frozen=True)
class CourierOptions:
    """How to deliver. `idempotent` says that the gateway knows a repeated id again and answers it as before.

    Seconds: the first retry waits up to `first_retry`, later ones up to `longest_retry`; `blocked_probes` are
    the first and the longest wait between probes after credentials were refused. A signal of which nothing
    was sent is tried up to `attempts` times, where that is set, and never after its time to live. While all
    `threads` wait for the gateway there are more, up to `most_threads`. `whose` names in
    reasons who executes.
    """

    threads: int = 4
    most_threads: int = 4
    idempotent: bool = False
    first_retry: float = 0.2
    longest_retry: float = 5.0
    blocked_probes: tuple[float, float] = BLOCKED_PROBES
    attempts: int | None = None
    whose: str = "gateway"


class Courier:
    """Delivers every signal of an outbox, in order within a session, until its end is known.

    `on_outcome` is called exactly once for each signal, by one of the courier's threads, and in order within
    a session; it must be quick. Signals of a session whose last one ended `unknown` are refused until
    `resume`.
    """

    def __init__(  # noqa: PLR0913 — the last four have defaults for tests
        self,
        outbox: Outbox,
        route: Route,
        options: CourierOptions,
        on_outcome: OnOutcome,
        *,
        fence: Fence | None = None,
        switch: Switch | None = None,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._route = route
        self._on_outcome = on_outcome
        self._clock = clock
        self._circuit = Circuit(draw, options.blocked_probes, options.whose)
        policy = RetryPolicy(
            idempotent=options.idempotent,
            draw=draw,
            first_seconds=options.first_retry,
            longest_seconds=options.longest_retry,
            attempts=options.attempts,
        )
        self._dispatcher = Dispatcher(policy, self._circuit, fence, switch)
        self._lock = threading.Lock()
        self._delivered = threading.Condition(self._lock)
        self._stop = threading.Event()
        self._crew = Crew(self._run, options.threads, options.most_threads, self._stop)

    @property
    def circuit_reason(self) -> str | None:
        """Say why nothing is sent at the moment; None when all is well."""
        return self._circuit.reason

    @property
    def halted(self) -> frozenset[str]:
        """The keys of the sessions whose signals are refused until `resume`."""
        with self._lock:
            return self._dispatcher.halted

    def start(self) -> None:
        """Start the threads. Once in the life of a courier."""
        self._crew.start()

    def resume(self, session_key: str) -> None:
        """Send signals of a halted session again."""
        with self._lock:
            self._dispatcher.resume(session_key)

    def withdraw(self, signal_ids: Iterable[str], reason: str) -> None:
        """Send none of these signals that is not sent yet; each ends `refused` with this reason."""
        with self._lock:
            self._dispatcher.withdraw(signal_ids, reason)
        self._outbox.wake()

    def leases_confirmed(self) -> None:
        """Send what waited for the lease of its session to be certain."""
        with self._lock:
            self._dispatcher.confirmed()
        self._outbox.wake()

    def drain(self, deadline: float) -> bool:
        """Wait until every signal has ended and was reported.

        False when `deadline` (monotonic seconds) or `stop` came first.
        """
        with self._lock:
            while self._outbox.pending or not self._dispatcher.is_idle:
                seconds = deadline - self._clock()
                if seconds <= 0 or self._stop.is_set():
                    return False
                self._delivered.wait(seconds)
        return True

    def stop(self, deadline: float) -> int:
        """Finish the requests under way, begin none; return how many signals remain in the outbox.

        Returns at `deadline` (monotonic seconds) at the latest.
        """
        self._stop.set()
        self._outbox.wake()
        self._crew.join(deadline)
        with self._lock:
            self._delivered.notify_all()
        return self._outbox.pending

    def _run(self, hand: Hand) -> None:
        while not self._stop.is_set():
            hand.busy_since = None
            try:
                task, seconds = self._next()
                if task is not None:
                    self._crew.take_up(hand)
                    self._perform(task)
                elif self._crew.may_leave(hand):
                    break
                else:
                    self._outbox.wait(seconds)
            except Exception:  # the loop of a thread: whatever is wrong with one signal, the others go on
                log.exception("courier_failed")
                self._stop.wait(IDLE_SECONDS)
        self._outbox.wake()  # one `wake` ends one wait: hand it on

    def _next(self) -> tuple[Task | None, float]:
        """Return what to do now, or for how long there is nothing to do."""
        with self._lock:
            for entry in self._outbox.take():
                self._dispatcher.accept(entry)
            now = self._clock()
            task = self._dispatcher.next(now)
            seconds = self._dispatcher.next_due() - now
        if task is not None and seconds < IDLE_SECONDS:
            self._outbox.wake()  # while this thread is busy, another must be there by then
        return task, min(max(seconds, 0.0), IDLE_SECONDS)

    def _perform(self, task: Task) -> None:
        if isinstance(task, Probe):
            answer = self._probe()
            with self._lock:
                self._dispatcher.probed(answer, self._clock())
        elif isinstance(task, Ending):
            self._report(task)
        else:
            result = self._request(task.delivery)
            with self._lock:
                ending = self._dispatcher.settle(task.delivery, result, self._clock())
            if ending is not None:
                self._report(ending)

    def _request(self, delivery: Delivery) -> Result:
        signal = delivery.entry.signal
        try:
            if delivery.reads_back:
                return self._route.read_back(signal.signal_id)
            delivery.attempts += 1
            self._outbox.sending(delivery.entry, delivery.attempts)
            return self._route.execute(signal)
        except (NotSent, Refused, Uncertain) as error:
            return error
        except Exception as error:  # whatever it is, the request may have left: doubt is all that is safe
            log.exception("request_failed", signal_id=signal.signal_id)
            return Uncertain(f"internal_error: {type(error).__name__}")

    def _probe(self) -> Reply | NotSent | Uncertain:
        try:
            return self._route.probe()
        except (NotSent, Uncertain) as error:
            return error
        except Exception as error:  # a probe that nobody answers for would leave the circuit open for ever
            log.exception("probe_failed")
            return Uncertain(f"internal_error: {type(error).__name__}")

    def _report(self, ending: Ending) -> None:
        """Tell the outbox and the listener how a signal ended, then let the next of its session go."""
        entry = ending.delivery.entry
        try:
            self._outbox.finish(entry, ending.outcome)
            self._on_outcome(entry, ending.outcome)
        except Exception:  # a listener's mistake must not hold up the session's next signal
            log.exception("outcome_not_reported", signal_id=entry.signal.signal_id)
        with self._lock:
            self._dispatcher.finish(ending.delivery)
            if self._dispatcher.is_idle:
                self._delivered.notify_all()
