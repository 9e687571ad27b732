"""What a host may use: beyond it the call is interrupted, the host ends, and the third time the session."""

import os
import signal
from collections.abc import Iterator

import pytest

from models.session import SessionState
from services.sandbox.budgets import Budgets
from services.sandbox.nursery import LEAST_PRIORITY
from services.sandbox.strikes import StrikeBook
from services.sandbox.ward import Ward
from tests.sealed_world import SealedWorld, warded

COUNTING = """
seen = 0
def on_bar(bar):
    global seen
    seen += 1
    if bar.timestamp.minute == 2:
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
SIGNALS_PER_EVENT = 50
ABUSES = {
    "endless": ("while True: pass", "on_bar took too long"),
    "stubborn": (STUBBORN, "a call computed longer than"),
    "greedy": ("list(bytearray(1 << 20) for _ in range(1 << 20))", "memory"),
    "leaving": ("import sys; sys.modules['posix']._exit(3)", "ended by itself with code 3"),
    "chatty": ("\n        while True: log.info('x' * 1000)", "lines in a second"),
    "flooding": ("\n        while True: send_signal('BUY', 1.0, 1.0)", "signals at one event"),
}


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    budgets = Budgets(cpu_seconds=0.2, cpu_kill_seconds=0.5, signals_per_event=SIGNALS_PER_EVENT)
    with warded(budgets) as opened:
        yield opened


@pytest.mark.parametrize("abuse", ABUSES)
def test_a_host_over_budget_ends_and_goes_on_after_what_ended_it(ward: Ward, abuse: str) -> None:
    statement, reason = ABUSES[abuse]
    world = SealedWorld(ward, COUNTING.format(statement))
    world.manager.start_session("AAPL", "counting", abuse)
    world.deliver()
    for minute in (1, 2, 3, 4):
        world.bar(minute)
    world.until(lambda: world.sealed(abuse).link.restarts == 1)
    assert reason in str(world.described(abuse)["reason"])

    def told() -> list[int]:
        return [each.timestamp.minute for each in world.sent if "seen" in each.metadata]

    world.until(lambda: len(told()) == 3)
    world.settle()
    assert told() == [1, 3, 4]
    assert world.described(abuse)["reason"] is None
    assert len(world.sent) == 3 + (SIGNALS_PER_EVENT if abuse == "flooding" else 0)


@pytest.mark.parametrize("own_fault", [True, False])
def test_a_host_that_was_a_burden_comes_last_when_it_starts_again(ward: Ward, *, own_fault: bool) -> None:
    world = SealedWorld(ward, COUNTING.format("while True: pass"))
    key = f"ends-{own_fault}"
    world.manager.start_session("AAPL", "counting", key)
    world.deliver()
    world.settle()

    def process() -> int:
        wire = ward._talks[key].wire  # noqa: SLF001 — the process itself is meant
        assert wire is not None
        return wire.process.pid

    usual = os.getpriority(os.PRIO_PROCESS, process())
    if own_fault:
        world.bar(2)
    else:
        os.kill(process(), signal.SIGKILL)
    world.until(lambda: world.sealed(key).link.restarts == 1)
    world.settle()
    assert os.getpriority(os.PRIO_PROCESS, process()) == (LEAST_PRIORITY if own_fault else usual)
    assert usual < LEAST_PRIORITY


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
