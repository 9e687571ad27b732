"""Calls that compute for long: who runs, who waits, and that waiting costs nothing."""

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from services.sandbox import budgets
from services.sandbox.budgets import Budgets, Meter, queued_seconds
from services.sandbox.long_calls import LONG_SECONDS, LongCalls
from tests.support import eventually

PROCESS = 0  # nobody's: it has used no processor time


class SomeHost:
    def __init__(self, computed: float = 1.0) -> None:
        self.seconds = computed
        self.runs = True
        self.demoted = False

    def computed(self) -> float:
        return self.seconds

    def pause(self) -> None:
        self.runs = False

    def resume(self) -> None:
        self.runs = True

    def demote(self) -> None:
        self.demoted = True


def running(hosts: list[SomeHost]) -> list[int]:
    return [number for number, host in enumerate(hosts) if host.runs]


def test_long_calls_take_turns_and_each_gets_one() -> None:
    hosts = [SomeHost() for _ in range(5)]
    long_calls = LongCalls(at_once=2)
    seen: list[int] = []
    for _ in range(5):
        long_calls.look(hosts)
        assert len(running(hosts)) == 2
        seen += running(hosts)
    assert sorted(seen) == sorted(2 * [0, 1, 2, 3, 4])


def test_short_calls_never_wait() -> None:
    long, short = [SomeHost() for _ in range(3)], [SomeHost(LONG_SECONDS) for _ in range(3)]
    LongCalls(at_once=1).look([*long, *short])
    assert running(short) == [0, 1, 2]
    assert len(running(long)) == 1


def test_a_long_call_lowers_the_priority_of_its_host_and_a_short_one_does_not() -> None:
    long, short = SomeHost(), SomeHost(LONG_SECONDS)
    LongCalls(at_once=1).look([long, short])
    assert (long.demoted, short.demoted) == (True, False)


def test_one_long_call_alone_is_not_stopped() -> None:
    host = SomeHost()
    long_calls = LongCalls(at_once=1)
    for _ in range(3):
        long_calls.look([host])
        assert host.runs


def test_who_is_busy_no_more_waits_no_more() -> None:
    hosts = [SomeHost() for _ in range(3)]
    long_calls = LongCalls(at_once=1)
    long_calls.look(hosts)
    hosts[1].seconds = 0.0  # its call is over
    long_calls.look(hosts[:2])  # the third has ended
    assert hosts[1].runs
    assert hosts[0].runs


def test_time_stands_still_for_a_call_that_waits_for_its_turn() -> None:
    meter = Meter(Budgets(wall_seconds=1.0), PROCESS, 0.0)
    assert meter.watch(7, 0.0, 0.0) is None
    meter.pause(0.5)
    assert meter.watch(7, 0.0, 100.0) is None
    meter.resume(100.0)
    assert meter.watch(7, 0.0, 100.4) is None
    ended = meter.watch(7, 0.0, 100.6)
    assert ended is not None
    assert ended.reason == "a call took longer than 1 s"


def test_time_stands_still_while_others_have_the_processors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queued = 5.0
    monkeypatch.setattr(budgets, "queued_seconds", lambda _: queued)
    meter = Meter(Budgets(wall_seconds=1.0), PROCESS, 0.0)
    assert meter.watch(7, 0.0, 0.0) is None
    assert meter.watch(7, 0.0, 0.3) is None
    queued = 8.0
    assert meter.watch(7, 0.0, 3.9) is None
    ended = meter.watch(7, 0.0, 4.1)
    assert ended is not None
    assert ended.reason == "a call took longer than 1 s"


def test_a_process_that_shares_its_processor_is_queued_for_it() -> None:
    [processor, *_] = os.sched_getaffinity(0)
    loop = f"import os; os.sched_setaffinity(0, [{processor}])\nwhile True: pass"
    with ExitStack() as stack:
        loops = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(2)]  # noqa: S603 — our own
        for each in loops:
            stack.callback(each.wait)
            stack.callback(each.kill)
        eventually(lambda: all(queued_seconds(each.pid) > 0.1 for each in loops), 60)
    assert queued_seconds(loops[0].pid) == 0.0
