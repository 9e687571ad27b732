"""Calls that compute for long: who runs, who waits, and that waiting costs nothing."""

from services.sandbox.budgets import Budgets, Meter
from services.sandbox.long_calls import LONG_SECONDS, LongCalls

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
