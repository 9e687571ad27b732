"""What a host may use: beyond it the call is interrupted, the host ends, and the third time the session."""

from collections.abc import Iterator

import pytest

from models.session import SessionState
from services.sandbox.budgets import Budgets
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
                while True: pass
            except BaseException: pass
"""
ABUSES = {
    "endless": ("while True: pass", "on_bar took too long"),
    "stubborn": (STUBBORN, "long"),
    "greedy": ("list(bytearray(1 << 20) for _ in range(1 << 20))", "memory"),
    "leaving": ("import sys; sys.modules['posix']._exit(3)", "ended by itself with code 3"),
    "chatty": ("\n        while True: log.info('x' * 1000)", "lines in a second"),
    "flooding": ("\n        while True: send_signal('BUY', 1.0, 1.0)", "signals in a second"),
}


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    with warded(Budgets(cpu_seconds=0.2, cpu_kill_seconds=0.5, signals_per_second=50)) as opened:
        yield opened


def test_a_flood_of_signals_ends_its_host(ward: Ward) -> None:
    statement, reason = ABUSES["flooding"]
    world = SealedWorld(ward, COUNTING.format(statement))
    world.manager.start_session("AAPL", "counting", "flooding")
    world.deliver()
    for minute in (1, 2):
        world.bar(minute)
    world.until(lambda: world.sealed("flooding").link.restarts == 1)
    assert reason in str(world.described("flooding")["reason"])


@pytest.mark.parametrize("abuse", [name for name in ABUSES if name != "flooding"])
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
