"""The counter between sessions and their signals' way out: takes signals in, gives reports back."""

import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from models.execution import ExecutionReport
from models.signal import Signal, SignalStatus
from services.risk.guard import Guard
from services.signals.courier import Courier, CourierOptions
from services.signals.fence import Fence
from services.signals.outbox import Outbox, OutboxEntry
from services.signals.outcome import Outcome, failed
from services.signals.route import Route
from services.telemetry.metrics import SignalMetrics

# Of the time for stopping, what is kept for writing down how signals ended.
WRITING_SECONDS = 1.0
SESSION_QUARANTINED = "session_quarantined"

log = structlog.get_logger(__name__)


class Sessions(Protocol):
    """Who hears what became of signals."""

    def report(self, key: str, report: ExecutionReport) -> None:
        """Tell a session the outcome of one of its signals."""

    def halt_session(self, key: str, reason: str) -> None:
        """Tell a session nothing more until a person looked."""

    def stop_session(self, session_id: str) -> int:
        """Stop the session with this session id, or key."""


class SignalDesk:
    """The outbox and its courier, put together; what the rest of the worker sees of them."""

    def __init__(  # noqa: PLR0913 — the last two have defaults for tests
        self,
        route: Route,
        courier: CourierOptions,
        outbox: Outbox,
        metrics: SignalMetrics,
        *,
        fence: Fence | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._route = route
        self._guard = guard
        switch = None if guard is None else guard.switch
        self._courier = Courier(outbox, route, courier, self._ended, fence=fence, switch=switch)
        self._sessions: Sessions

    def start(self, sessions: Sessions) -> None:
        """Begin to deliver; `sessions` hear of every end."""
        self._sessions = sessions
        self._outbox.start()
        self._route.start()
        self._courier.start()

    def submit(self, signal: Signal, received_at: float, barred: str | None = None) -> str | None:
        """Take a signal on its way, unless it is barred; return why it is refused, or None. Never waits."""
        refusal = barred or self._outbox.put(signal, received_at)
        if refusal is not None:
            if barred is None and self._guard is not None:
                self._guard.release(signal.signal_id)
            self._metrics.count(SignalStatus.REFUSED)
            log.warning(
                "signal_refused", session=signal.session_key, signal_id=signal.signal_id, reason=refusal
            )
        return refusal

    def refuse(self, signal: Signal, received_at: float, reason: str) -> str | None:
        """Record a refused signal with its end, which its session is told; return why, where it cannot be."""
        outcome = failed(signal, "refused", reason, 0, time.monotonic())
        if self._outbox.put(signal, received_at, outcome) is None:
            return None
        return self.submit(signal, received_at, reason)

    @property
    def circuit_reason(self) -> str | None:
        """Say why nothing is sent at the moment; None when all is well."""
        return self._courier.circuit_reason

    @property
    def outbox_reason(self) -> str | None:
        """Say why signals are not written down at the moment; None when all is well."""
        return self._outbox.reason

    @property
    def pending(self) -> int:
        """How many signals have not ended."""
        return self._outbox.pending

    def resume(self, session_key: str) -> None:
        """Take signals of a session again whose last one had an unknown outcome."""
        self._courier.resume(session_key)

    def withdraw(self, signal_ids: Sequence[str]) -> None:
        """Send none of these signals that is not sent yet: the call that gave them never came to its end."""
        log.warning("signals_withdrawn", signal_ids=signal_ids)
        self._courier.withdraw(signal_ids, SESSION_QUARANTINED)

    def leases_confirmed(self) -> None:
        """Send what waited for the lease of its session to be certain."""
        self._courier.leases_confirmed()

    def session_keys(self) -> set[str]:
        """Return the keys of the sessions that have signals on their way."""
        return {entry.signal.session_key for entry in self._outbox.unfinished()}

    def drain(self, deadline: float) -> bool:
        """Wait until every signal has ended; false when `deadline` (monotonic seconds) came first."""
        return self._courier.drain(deadline)

    def stop(self, deadline: float) -> int:
        """Let what is on its way arrive, then stop; return how many signals are left, each of them logged."""
        sent_by = deadline - min(WRITING_SECONDS, (deadline - time.monotonic()) / 2)
        self._courier.drain(sent_by)
        left = self._courier.stop(sent_by)
        lost = self._outbox.stop(deadline)
        for entry in self._outbox.unfinished():
            signal_id = entry.signal.signal_id
            write = log.error if signal_id in lost else log.info  # the next start goes on with the others
            write(
                "signal_left_behind",
                session=entry.signal.session_key,
                signal_id=signal_id,
                recorded=signal_id not in lost,
            )
        self._route.close()
        return left

    def _ended(self, entry: OutboxEntry, outcome: Outcome) -> None:
        signal, report = entry.signal, outcome.report
        if self._guard is not None:
            self._guard.settle(report)
        if report.told_before:
            log.info("signal_decided_again", session=signal.session_key, signal_id=signal.signal_id)
        else:
            self._measure(entry, outcome)
        self._sessions.report(signal.session_key, report)
        if outcome.halt_session:
            self._sessions.halt_session(signal.session_key, f"signal {signal.signal_id}: {report.reason}")
        if outcome.stop_session:
            self._sessions.stop_session(signal.session_key)

    def _measure(self, entry: OutboxEntry, outcome: Outcome) -> None:
        self._metrics.count(outcome.status)
        if outcome.status in {SignalStatus.EXECUTED, SignalStatus.REJECTED}:
            self._metrics.answered(time.monotonic() - entry.received_at)
        if outcome.status is not SignalStatus.EXECUTED:
            log.warning(
                "signal_not_executed",
                session=entry.signal.session_key,
                signal_id=entry.signal.signal_id,
                status=outcome.status.value,
                reason=outcome.report.reason,
            )
