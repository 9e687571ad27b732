"""Whatever happens in whatever order, a status only moves forward, and a crash loses no signal with a row."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from models.signal import SignalStatus
from services.signals.outbox import OutboxEntry
from services.signals.outcome import Failure, failed
from tests.integration.durable_outbox import Crashable, execute, filled, rows
from tests.sample_signals import make_signal
from tests.support import eventually

RANK = {"pending": 0, "sending": 1}
FAILURES: list[Failure] = ["rejected", "expired", "unknown", "refused"]


class OutboxMachine(RuleBasedStateMachine):
    """Decisions, requests, ends and crashes in any order; `url` is set by the test."""

    url = ""

    @initialize()
    def begin(self) -> None:
        execute(self.url, "TRUNCATE signals")
        self.order: list[str] = []
        self.ended: dict[str, str] = {}
        self.seen: dict[str, str] = {}
        self.open: list[OutboxEntry] = []
        self.made = Crashable(self.url)
        self.made.outbox.start()

    @rule(count=st.integers(1, 4))
    def decide(self, count: int) -> None:
        signals = [make_signal() for _ in range(count)]
        assert self.made.put(*signals) == [None] * count
        self.order += [signal.signal_id for signal in signals]
        self.open += self.made.taken(count)

    @precondition(lambda self: self.order)
    @rule(data=st.data())
    def decide_again_after_a_restart(self, data: Any) -> None:
        signal_id = data.draw(st.sampled_from(self.order))
        self._restart()
        assert self.made.put(make_signal(signal_id=signal_id)) == [None]
        if signal_id in self.ended:
            [entry] = self.made.taken(1)
            assert entry.settled is not None
            assert entry.settled.status.value == self.ended[signal_id]
            self.made.outbox.finish(entry, entry.settled)
        else:
            self.decide(1)  # when this one is given, the one before it was found to be on its way

    @precondition(lambda self: self.open)
    @rule(data=st.data(), attempt=st.integers(1, 5))
    def send(self, data: Any, attempt: int) -> None:
        self.made.outbox.sending(data.draw(st.sampled_from(self.open)), attempt)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), failure=st.none() | st.sampled_from(FAILURES))
    def end(self, data: Any, failure: Failure | None) -> None:
        entry = data.draw(st.sampled_from(self.open))
        outcome = filled(entry.signal) if failure is None else failed(entry.signal, failure, "why", 1, 0.0)
        self.made.outbox.finish(entry, outcome)
        self.open.remove(entry)
        self.ended[entry.signal.signal_id] = outcome.status.value

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def mark_late(self, data: Any) -> None:
        """A mark that comes after the end, as a slow thread would write it."""
        entry = data.draw(st.sampled_from(self.open))
        self.end_of(entry)
        self.made.outbox.sending(entry, 9)

    def end_of(self, entry: OutboxEntry) -> None:
        self.made.finish(entry)
        self.open.remove(entry)
        self.ended[entry.signal.signal_id] = SignalStatus.EXECUTED.value
        eventually(lambda: self._statuses()[entry.signal.signal_id] == "executed")

    @rule()
    def restart(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self.made.stop()
        self._look()
        self.made = Crashable(self.url)
        self.made.outbox.start()
        found = self.made.taken(len(self.open))
        expected = [signal_id for signal_id in self.order if signal_id not in self.ended]
        assert [entry.signal.signal_id for entry in found] == expected
        self.open = found

    def teardown(self) -> None:
        if hasattr(self, "made"):
            self.made.stop()
            self._look()

    def _look(self) -> None:
        """Compare the table with what was done; what was seen final stays as it was."""
        now = self._statuses()
        assert list(now) == self.order
        for signal_id, status in now.items():
            before = self.seen.get(signal_id, "pending")
            assert status == before or RANK.get(status, 2) > RANK.get(before, 2)
            assert status == self.ended.get(signal_id, status)
            assert (signal_id in self.ended) == (status not in RANK)
        self.seen = now

    def _statuses(self) -> dict[str, str]:
        return {row["signal_id"]: row["status"] for row in rows(self.url)}


def test_a_status_only_moves_forward_whatever_happens(database_url: str) -> None:
    class Here(OutboxMachine):
        url = database_url

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
