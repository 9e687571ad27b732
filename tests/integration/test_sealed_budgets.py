"""What a host may use: beyond it the call is interrupted, the host ends, and the third time the session."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from itertools import count

import pytest

from models.session import SessionState
from models.signal import Signal
from services.sandbox.budgets import Budgets
from services.sandbox.ending import Cause
from services.sandbox.nursery import LEAST_PRIORITY
from services.sandbox.strikes import StrikeBook
from services.sandbox.ward import Ward
from tests.sealed_hosts import Neighbour
from tests.sealed_world import SealedWorld, warded

COUNTING = """
seen = 0
def on_bar(bar):
    global seen
    seen += 1
    if symbol == "AAPL" and bar.timestamp.minute == 2:
        {}
    send_signal("BUY", 1.0, 1.0, metadata={{"seen": seen}})
def get_state():
    return {{"seen": seen}}
"""
STUBBORN = """
        while True:
            try:
                step = 0  # or an interruption at the head of the loop is outside of `try`
                while True: pass
            except BaseException: pass
"""
WAITING = """
        import sys
        lock = sys.modules["_thread"].allocate_lock()
        lock.acquire()
        lock.acquire()
"""
WORKING = """
import time
def on_bar(bar):
    until = time.process_time() + (0.05 if symbol == "AAPL" else 0)
    while time.process_time() < until: pass
"""
THRICE = """
def on_bar(bar):
    for _ in range(3):
        send_signal("BUY", 1.0, 1.0)
"""
# Three such bars are more than the patience of a second.
TALKATIVE = """
def on_bar(bar):
    for _ in range(400):
        print("so it goes")
    send_signal("BUY", 1.0, 1.0)
"""
GREEDY = "list(bytearray(1 << 20) for _ in range(1 << 20))"
SIGNALS_PER_EVENT = 50
SIGNALS_PER_SECOND = 20
ABUSES = {
    "endless": ("while True: pass", "on_bar took too long"),
    "stubborn": (STUBBORN, "a call computed longer than"),
    "waiting": (WAITING, "a call took longer than 2 s"),
    "leaving": ("import sys; sys.modules['posix']._exit(3)", "ended by itself with code 3"),
    "chatty": ("\n        while True: log.info('x' * 1000)", "lines in a second"),
    "flooding": ("\n        while True: send_signal('BUY', 1.0, 1.0)", "signals at one event"),
}


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    budgets = Budgets(cpu_seconds=0.2, cpu_kill_seconds=0.5, signals_per_event=SIGNALS_PER_EVENT)
    with warded(budgets) as opened:
        yield opened


@pytest.fixture(scope="module")
def busy_ward() -> Iterator[Ward]:
    budgets = Budgets(cpu_seconds=5.0, cpu_kill_seconds=5.0, signals_per_second=SIGNALS_PER_SECOND)
    with warded(budgets) as opened:
        yield opened


def sent_of(world: SealedWorld, symbol: str) -> list[Signal]:
    return [each for each in world.sent if each.symbol == symbol]


def answers_of(world: SealedWorld, symbol: str) -> Callable[[], None]:
    """Return what tells the session on this symbol of one more bar and waits for the signal in answer."""
    minutes = count(1)

    def answer() -> None:
        minute = next(minutes)
        world.bar(minute, symbol)
        world.until(lambda: len(sent_of(world, symbol)) == minute)

    return answer


@pytest.mark.parametrize("abuse", ABUSES)
def test_a_host_over_budget_ends_and_goes_on_after_what_ended_it(ward: Ward, abuse: str) -> None:
    world = ended_and_gone_on(ward, *ABUSES[abuse])
    assert len(world.sent) == 3 + (SIGNALS_PER_EVENT if abuse == "flooding" else 0)


def test_a_host_without_memory_ends_and_goes_on_after_what_ended_it(busy_ward: Ward) -> None:
    ended_and_gone_on(busy_ward, GREEDY, "memory")


def ended_once(ward: Ward, source: str, key: str, minutes: Iterable[int], reason: str) -> SealedWorld:
    """Tell a session of these bars, which end its host for this reason, and wait until it starts again."""
    world = SealedWorld(ward, source)
    world.manager.start_session("AAPL", "counting", key)
    world.deliver()
    for minute in minutes:
        world.bar(minute)
    world.until(lambda: world.sealed(key).link.restarts == 1)
    assert reason in str(world.described(key)["reason"])
    return world


def ended_and_gone_on(ward: Ward, statement: str, reason: str) -> SealedWorld:
    """Have the second of four bars end the host for this reason, and the next host be told of the others."""
    world = ended_once(ward, COUNTING.format(statement), statement, (1, 2, 3, 4), reason)

    def told() -> list[int]:
        return [each.timestamp.minute for each in world.sent if "seen" in each.metadata]

    world.until(lambda: len(told()) == 3)
    world.settle()
    assert told() == [1, 3, 4]
    assert world.described(statement)["reason"] is None
    return world


@pytest.mark.parametrize("abuse", ABUSES)
def test_a_session_beside_one_that_is_over_budget_is_answered_as_before(ward: Ward, abuse: str) -> None:
    statement, _ = ABUSES[abuse]
    world = SealedWorld(ward, COUNTING.format(statement))
    for symbol, key in (("AAPL", f"over-{abuse}"), ("MSFT", f"beside-{abuse}")):
        world.manager.start_session(symbol, "counting", key)
    world.deliver()
    neighbour = Neighbour(answers_of(world, "MSFT"))
    world.bar(2)
    over = world.sealed(f"over-{abuse}").link
    neighbour.assert_undisturbed(lambda: over.restarts == 0)
    world.until(lambda: over.restarts == 1)
    assert world.sealed(f"beside-{abuse}").link.restarts == 0


def test_an_event_that_only_met_a_broken_rate_is_told_to_the_next_host(
    busy_ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.sandbox.budgets.RATE_SECONDS", 60.0)
    world = ended_once(busy_ward, THRICE, "rate", range(12), "signals in a second")
    world.settle()
    assert [each.timestamp.minute for each in world.sent] == [
        minute for minute in range(12) for _ in range(3)
    ]
    assert len({each.signal_id for each in world.sent}) == 36


def test_an_event_that_breaks_the_rate_by_itself_is_not(
    busy_ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.sandbox.budgets.RATE_SECONDS", 60.0)
    source = COUNTING.format("while True: send_signal('BUY', 1.0, 1.0)")
    world = ended_once(busy_ward, source, "alone", (2, 3), "signals in a second")
    world.settle()
    assert [each.timestamp.minute for each in world.sent] == [2] * SIGNALS_PER_SECOND + [3]


def test_an_event_that_only_met_a_broken_rate_of_log_lines_is_told_to_the_next_host(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.sandbox.budgets.RATE_SECONDS", 60.0)
    world = ended_once(ward, TALKATIVE, "talkative", range(4), "lines in a second")
    world.settle()
    assert [each.timestamp.minute for each in world.sent] == [0, 1, 2, 3]
    assert ward.strikes.quarantined("talkative") is None
    assert world.sealed("talkative").link.restarts == 1


def test_a_host_that_takes_more_than_its_share_of_a_core_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.sandbox.budgets.SHARE_SECONDS", 1.0)
    monkeypatch.setattr("services.sandbox.exchange.SHARE_LOOK_SECONDS", 1.0)
    budgets = Budgets(cpu_seconds=5.0, cpu_kill_seconds=5.0, wall_seconds=20.0, core_share=0.05)
    with warded(budgets) as ward:
        world = SealedWorld(ward, WORKING)
        for symbol, key in (("AAPL", "busy"), ("MSFT", "modest")):
            world.manager.start_session(symbol, "counting", key)
        world.deliver()
        busy, minutes = world.sealed("busy").link, count()

        def is_over() -> bool:
            if busy.idle:
                minute = next(minutes)
                world.bar(minute)
                world.bar(minute, "MSFT")
            return busy.restarts == 1

        world.until(is_over)
        assert "% of a core over 1 s" in str(world.described("busy")["reason"])
        assert ward.ends == {Cause.CPU: 1}
        assert world.sealed("modest").link.restarts == 0


def process(ward: Ward, key: str) -> int:
    """The process of a session's host."""
    wire = ward._talks[key].wire  # noqa: SLF001 — the process itself is meant
    assert wire is not None
    return wire.process.pid


def priority(ward: Ward, key: str) -> int:
    """The nice value of a session's host."""
    return os.getpriority(os.PRIO_PROCESS, process(ward, key))


@pytest.mark.parametrize("own_fault", [True, False])
def test_a_host_that_was_a_burden_comes_last_when_it_starts_again(ward: Ward, *, own_fault: bool) -> None:
    world = SealedWorld(ward, COUNTING.format("while True: pass"))
    key = f"ends-{own_fault}"
    world.manager.start_session("AAPL", "counting", key)
    world.deliver()
    world.settle()

    usual = priority(ward, key)
    assert usual < LEAST_PRIORITY
    if own_fault:
        world.bar(2)
    else:
        os.kill(process(ward, key), signal.SIGKILL)
    world.until(lambda: world.sealed(key).link.restarts == 1)
    world.settle()
    world.until(lambda: priority(ward, key) == (LEAST_PRIORITY if own_fault else usual))


def test_a_host_that_computes_for_long_comes_last_from_then_on() -> None:
    source = "def on_bar(bar):\n    sum(range(20_000_000 if bar.timestamp.minute == 2 else 10))\n"
    patient = Budgets(cpu_seconds=30.0, cpu_kill_seconds=60.0, wall_seconds=120.0)
    with warded(patient, StrikeBook(None)) as ward:
        world = SealedWorld(ward, source)
        world.manager.start_session("AAPL", "counting", "long")
        world.deliver()
        world.bar(1)
        world.settle()
        assert priority(ward, "long") < LEAST_PRIORITY
        world.bar(2)
        world.until(lambda: priority(ward, "long") == LEAST_PRIORITY)
        world.bar(3)
        world.settle()
        assert priority(ward, "long") == LEAST_PRIORITY
        assert world.sealed("long").link.restarts == 0


def test_the_third_strike_quarantines() -> None:
    with warded(Budgets(), StrikeBook(None)) as ward:
        world = SealedWorld(ward, "import sys\ndef on_bar(bar):\n    sys.modules['posix']._exit(1)\n")
        world.manager.start_session("AAPL", "counting", "bad")
        world.deliver()
        for minute in (1, 2, 3):
            world.bar(minute)
        session = world.session("bad")
        world.until(lambda: session.state is SessionState.QUARANTINED)
        assert "3rd time" in str(session.reason)
        assert world.manager.start_session("AAPL", "counting", "bad") == "duplicate"
        assert not ward.links()
