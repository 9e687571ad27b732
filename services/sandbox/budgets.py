"""What a sealed host may use, and what it has used: judged from outside, by clocks that it cannot set."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from services.sandbox.ending import Cause, Ending

SHARE_SECONDS = 10.0
RATE_SECONDS = 1.0
LOG_PATIENCE = 10
PATIENCE_BETWEEN_CALLS = 15
LOOK_CLOSER_SECONDS = 0.25
NANOSECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Budgets:
    """Seconds of processor after which a call is interrupted, and killed; of time; and rates.

    `core_share` is of one core over ten seconds. Signals beyond their rate end the host; log lines beyond
    theirs are dropped, and end it at ten times as many. Code may ask for calls of `most_cpu_seconds`.
    """

    cpu_seconds: float = 0.1
    cpu_kill_seconds: float = 0.25
    wall_seconds: float = 2.0
    core_share: float = 0.5
    signals_per_event: int = 50
    signals_per_second: int = 500
    log_lines_per_second: int = 100
    most_cpu_seconds: float = 5.0


def processor_seconds(pid: int) -> float:
    """Return what a process has computed so far; 0 where it is gone. Needs no privilege."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def queued_seconds(pid: int) -> float:
    """Return for how long a process wanted a processor so far and had none; 0 where nobody knows."""
    try:
        _, queued, _ = Path(f"/proc/{pid}/schedstat").read_bytes().split()
    except (OSError, ValueError):
        return 0.0
    return int(queued) / NANOSECONDS


class Meter:
    """What one host uses. For one thread; `now` is in monotonic seconds."""

    def __init__(self, budgets: Budgets, pid: int, now: float) -> None:
        self._budgets = budgets
        self._pid = pid
        self._call: int | None = None
        self._call_cpu = self._call_at = 0.0
        self._call_queued: float | None = None
        self._paused_at: float | None = None
        self.computed = 0.0
        self.interrupted = False
        self._used = processor_seconds(pid)
        self._shared_at, self._shared_cpu = now, self._used
        self._rated_at = now
        self._signals = self._lines = 0

    def loaded(self, deadline: float) -> None:
        """Count calls from now on: what it took to load is none's.

        They may compute for the `deadline` that the code declares, in seconds, or 0, within limits.
        """
        self.idle()
        given = self._budgets
        more = min(deadline, given.most_cpu_seconds) - given.cpu_seconds
        if more > 0:
            self._budgets = replace(
                given,
                cpu_seconds=given.cpu_seconds + more,
                cpu_kill_seconds=given.cpu_kill_seconds + more,
                wall_seconds=given.wall_seconds + 2 * more,
            )

    def watch(self, call: int, began: float, now: float) -> Ending | None:
        """Look at the call under way, which the host says `began` then; return why it is to be killed, if so.

        Sets `computed` to the processor seconds of the call, and `interrupted` when it is to be interrupted
        first. Budgets count from the first look; what was computed before that is only a guess.
        """
        budgets, used = self._budgets, processor_seconds(self._pid)
        before, self._used = self._used, used
        if call != self._call:
            self._call, self._call_cpu, self._call_at = call, used, now
            self._call_queued = None
            self.computed, self.interrupted = min(used - before, now - began), False
            return None
        self.computed = used - self._call_cpu
        if self.computed > budgets.cpu_kill_seconds:
            return Ending(Cause.CPU, f"a call computed longer than {budgets.cpu_kill_seconds:g} s")
        # Between calls it waits for the processor, most likely: that may take a while on a busy machine.
        allowed = budgets.wall_seconds * (1 if call else PATIENCE_BETWEEN_CALLS)
        if self._took_longer(allowed, now):
            return Ending(Cause.WALL, f"a call took longer than {allowed:g} s")
        self.interrupted = self.computed > budgets.cpu_seconds
        return None

    def pause(self, now: float) -> None:
        """Have no time pass for the call under way."""
        self._paused_at = now

    def resume(self, now: float) -> None:
        """Have time pass again."""
        if self._paused_at is not None:
            self._call_at += now - self._paused_at
            self._paused_at = None

    def idle(self) -> None:
        """Note that no call is under way, or that nobody knows since when: the next look counts from then."""
        self._call, self.computed, self._used = None, 0.0, processor_seconds(self._pid)

    def share(self, now: float) -> Ending | None:
        """Look at the last ten seconds; return why the host is to be killed, if it is."""
        if now - self._shared_at < SHARE_SECONDS:
            return None
        used = processor_seconds(self._pid)
        share = (used - self._shared_cpu) / (now - self._shared_at)
        self._shared_at, self._shared_cpu = now, used
        if share <= self._budgets.core_share:
            return None
        return Ending(Cause.CPU, f"it used {share:.0%} of a core over {SHARE_SECONDS:g} s")

    def _took_longer(self, seconds: float, now: float) -> bool:
        """Whether the call took longer than that, without the time for which others had the processors."""
        passed = (self._paused_at or now) - self._call_at
        if passed <= min(LOOK_CLOSER_SECONDS, seconds):  # to look takes too long for every call
            return False
        if self._call_queued is None:
            self._call_queued = queued_seconds(self._pid)
        return passed > seconds and passed - queued_seconds(self._pid) + self._call_queued > seconds

    def signal(self, of_event: int, now: float) -> Ending | None:
        """Count a signal, so many of its event; return why the host is to be killed, if it is."""
        self._refresh(now)
        self._signals += 1
        if of_event > self._budgets.signals_per_event:
            return Ending(
                Cause.FLOOD, f"it sent more than {self._budgets.signals_per_event} signals at one event"
            )
        if self._signals <= self._budgets.signals_per_second:
            return None
        return Ending(
            Cause.FLOOD, f"it sent more than {self._budgets.signals_per_second} signals in a second"
        )

    def is_flood(self, of_event: int) -> bool:
        """Tell whether so many signals are too many of one event, whatever was sent at others."""
        return of_event > min(self._budgets.signals_per_event, self._budgets.signals_per_second)

    def line(self, of_event: int, now: float, *, is_past: bool) -> tuple[bool, Ending | None]:
        """Count a log line, so many of its event; return whether it is kept, and why the host is to end.

        Events of the past come as fast as the host answers them: that they break a rate is not its end.
        """
        self._refresh(now)
        most = self._budgets.log_lines_per_second
        kept = self._lines < most
        self._lines += kept or not is_past
        if self._lines > LOG_PATIENCE * most:
            return False, Ending(Cause.FLOOD, f"it logged more than {LOG_PATIENCE * most} lines in a second")
        if self.is_flood_of_lines(of_event):
            return False, Ending(Cause.FLOOD, f"it logged more than {LOG_PATIENCE * most} lines at one event")
        return kept, None

    def is_flood_of_lines(self, of_event: int) -> bool:
        """Tell whether so many log lines are too many of one event, whatever was logged at others."""
        return of_event > LOG_PATIENCE * self._budgets.log_lines_per_second

    def _refresh(self, now: float) -> None:
        if now - self._rated_at >= RATE_SECONDS:
            self._rated_at, self._signals, self._lines = now, 0, 0
