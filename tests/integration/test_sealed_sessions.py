"""Sessions of stored code: what a sealed strategy decides is what it would decide unsealed."""

import errno
import os
import signal
from collections.abc import Iterator
from threading import Event
from typing import NoReturn

import pytest
from msgspec.structs import replace

from models.errors import StrategyError
from models.gap import Gap
from models.session import SessionState
from models.signal import Signal
from services.sandbox.ward import Ward
from strategies.base_strategy import BaseStrategy
from tests.sealed_world import SealedWorld, warded
from tests.unit.state_world import NOON, World

SOURCE = """
class Counting(BaseStrategy):
    warmup_bars = 3
    def __init__(self, strategy_id, symbol, session_id=None):
        super().__init__(strategy_id, symbol, session_id)
        self.seen = []
    def on_start(self):
        self.send_signal("BUY", 1.0, 3.0)
    def on_bar(self, bar):
        self.seen.append(bar.timestamp.isoformat())
        for _ in range(bar.timestamp.minute % 3):
            told = {"expected": self.position.expected, "n": len(self.seen)}
            self.send_signal("BUY", bar.close, 2.0, metadata=told)
    def on_trade(self, trade): pass
    def on_stop(self):
        self.send_signal("SELL", 1.0, 3.0)
    def get_state(self):
        return {"seen": self.seen}
    def set_state(self, state):
        self.seen = state["seen"]
"""
GAP = Gap(stream="bars", symbol="AAPL", since=NOON, until=NOON, reason="seq", missed=2)
SEEING = """
seen = []
def on_bar(bar): seen.append(bar.timestamp.minute)
def get_state(): return {"seen": seen}
def set_state(state): seen[:] = state["seen"]
"""


NOTING = """
class Noting(BaseStrategy):
    warmup_bars = 3
    def __init__(self, strategy_id, symbol, session_id=None):
        super().__init__(strategy_id, symbol, session_id)
        self.told = []
    def note(self, what):
        self.told.append(what)
        self.send_signal("BUY", 1.0, 1.0, metadata={"told": list(self.told)})
    def on_start(self): self.note("start")
    def on_bar(self, bar): self.note(bar.timestamp.minute)
    def on_gap(self, gap): self.note([gap.stream, gap.reason, gap.missed])
    def on_trade(self, trade): pass
"""


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    with warded() as opened:
        yield opened


def unsealed(source: str = SOURCE) -> type[BaseStrategy]:
    names: dict[str, object] = {"BaseStrategy": BaseStrategy, "__name__": "strategy"}
    exec(source, names)  # noqa: S102 — the same code, where there is no seal
    strategy = list(names.values())[-1]
    assert isinstance(strategy, type)
    assert issubclass(strategy, BaseStrategy)
    return strategy


def end_host(ward: Ward, key: str) -> None:
    """End the host of a session from outside."""
    wire = ward._talks[key].wire  # noqa: SLF001 — the process itself is meant
    assert wire is not None
    os.kill(wire.process.pid, signal.SIGKILL)


def shown(signals: list[Signal]) -> list[tuple[object, ...]]:
    return [
        (
            each.signal_id,
            each.timestamp,
            each.quantity,
            {k: v for k, v in each.metadata.items() if k != "codeHash"},
        )
        for each in signals
    ]


def test_the_same_code_sealed_and_unsealed_gives_the_same_signals(ward: Ward) -> None:
    open_world, sealed_world = World(unsealed(), idle=False), SealedWorld(ward, SOURCE)
    for world in (open_world, sealed_world):
        world.bar(0)
        world.manager.start_session("AAPL", "counting", "same")
        world.deliver()
        for minute in range(1, 20):
            world.bar(minute)
    sealed_world.settle()
    assert len(sealed_world.sent) > 10
    starts = [each for world in (open_world, sealed_world) for each in world.sent[:1]]
    assert [each.quantity for each in starts] == [3.0, 3.0]  # whose ids hold the moment of the start
    assert shown(sealed_world.sent[1:]) == shown(open_world.sent[1:])
    assert sealed_world.described("same")["position"] == open_world.described("same")["position"]


def test_a_killed_host_goes_on_where_it_was_with_nothing_lost_or_twice(ward: Ward) -> None:
    world, never_killed = SealedWorld(ward, SOURCE), World(unsealed(), idle=False)
    for each in (world, never_killed):
        each.manager.start_session("AAPL", "counting", "killed")
        each.deliver()
    for minute in range(1, 60):
        world.bar(minute)
        never_killed.bar(minute)
        if minute == 30:
            world.states.save(world.session("killed"))
            end_host(ward, "killed")
    world.until(lambda: world.sealed("killed").link.restarts == 1)
    world.settle()
    assert shown(world.sent[1:]) == shown(never_killed.sent[1:])


def test_a_gap_is_told_in_its_place_and_once_over_a_restart(ward: Ward) -> None:
    world, never_killed = SealedWorld(ward, NOTING), World(unsealed(NOTING), idle=False)
    for each in (world, never_killed):
        each.manager.start_session("AAPL", each.strategy.name, "gap")
        each.deliver()
        each.bar(1)
        each.session("gap").handle(GAP)
        each.bar(2)
    world.settle()
    end_host(ward, "gap")
    world.until(lambda: world.sealed("gap").link.restarts == 1)
    for each in (world, never_killed):
        each.bar(3)
    world.settle()
    sent, expected = (
        [(each.signal_id, each.metadata["told"]) for each in played.sent[1:]]
        for played in (world, never_killed)
    )
    assert sent == expected
    assert sent[-1][1] == ["start", 1, ["bars", "seq", 2], 2, 3]


def test_the_bars_that_were_kept_are_told_between_the_start_and_the_first_new_one(ward: Ward) -> None:
    world = SealedWorld(ward, NOTING)
    world.manager.start_session("AAPL", "counting", "first")
    world.deliver()
    for minute in range(1, 6):
        world.bar(minute)
    world.manager.start_session("AAPL", "counting", "late")
    world.deliver()
    world.bar(6)
    world.settle()

    def told() -> list[object]:
        return [each.metadata["told"] for each in world.sent if each.session_key == "late"]

    assert told() == [["start"], ["start", 3, 4, 5, 6]]
    shown = world.described("late")
    assert (shown["warmUpBars"], shown["warmUpSignals"], shown["position"]["expected"]) == (3, 3, 2.0)
    end_host(ward, "late")
    world.until(lambda: world.sealed("late").link.restarts == 1)
    world.bar(7)
    world.settle()
    assert told()[2:] == [["start", 3, 4, 5, 6, 7]]
    assert world.described("late")["warmUpSignals"] == 3


def test_a_state_that_was_asked_for_before_a_bar_is_said_before_it_by_the_next_host_too(ward: Ward) -> None:
    world = SealedWorld(ward, SEEING)
    world.manager.start_session("AAPL", "seeing", "asked")
    world.deliver()
    world.bar(1)
    world.settle()
    talk, held = ward._talks["asked"], Event()  # noqa: SLF001
    assert talk.wire is not None
    os.kill(talk.wire.process.pid, signal.SIGSTOP)

    def hold() -> None:
        held.wait(10)

    ward.exchange.call(hold)
    world.states.save(world.session("asked"))  # so that question and bar go out together
    world.bar(2)
    held.set()
    world.until(lambda: len(talk._hearing.under_way) == 2)  # noqa: SLF001
    os.kill(talk.wire.process.pid, signal.SIGKILL)
    world.until(lambda: world.sealed("asked").link.restarts == 1)
    world.settle()
    world.write()
    saved = world.store.held["asked"]
    assert (saved.state, saved.last_bars["1m"].minute) == ('{"seen":[1]}', 1)


def test_a_host_that_finds_no_descriptors_left_starts_when_there_are(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = SealedWorld(ward, SOURCE)
    world.manager.start_session("AAPL", "counting", "short")
    world.deliver()
    world.settle()

    def refuse() -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("services.sandbox.ward.PAUSES", (0.1, 0.1))
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("services.sandbox.client.CallPage", refuse)
        end_host(ward, "short")
        world.until(lambda: "Too many open files" in str(world.described("short")["reason"]))
    world.bar(1)
    world.until(lambda: len(world.sent) == 2)
    assert world.described("short")["reason"] is None


def test_what_a_strategy_sends_as_it_stops_goes_out_and_its_state_is_saved(ward: Ward) -> None:
    world = SealedWorld(ward, SOURCE)
    world.manager.start_session("AAPL", "counting", "stopped")
    world.deliver()
    world.bar(1)
    session = world.sealed("stopped")
    world.manager.stop_session("stopped")
    world.until(lambda: session.link.closed)
    assert [each.action for each in world.sent] == ["BUY", "BUY", "SELL"]
    world.write()
    assert world.store.held["stopped"].state is not None


def test_a_session_that_was_given_up_says_where_in_the_source_it_failed(ward: Ward) -> None:
    world = SealedWorld(ward, "def on_bar(bar):\n    size = 1\n    return size / 0\n")
    world.manager.start_session("AAPL", "counting", "failing")
    world.deliver()
    for minute in range(20):
        world.bar(minute)
    world.until(lambda: world.described("failing")["state"] == "ERROR")
    said = "line 3, column 12: on_bar raised ZeroDivisionError: division by zero"
    assert said in world.described("failing")["reason"]


def test_a_forbidden_call_quarantines_at_once(ward: Ward) -> None:
    source = "import sys\ndef on_bar(bar):\n    sys.modules['posix'].getppid()\n"
    world = SealedWorld(ward, source)
    world.manager.start_session("AAPL", "counting", "bad")
    world.deliver()
    world.bar(1)
    world.until(lambda: world.session("bad").state is SessionState.QUARANTINED)
    assert "system call" in str(world.session("bad").reason)


def test_new_code_takes_over_between_two_events(ward: Ward) -> None:
    world = SealedWorld(ward, SOURCE)
    world.manager.start_session("AAPL", "counting", "reloaded")
    world.deliver()
    link = world.sealed("reloaded").link
    for minute in range(1, 10):
        world.bar(minute)
    reloads = [SOURCE.replace('{"expected"', f'{{"version": {number}, "expected"') for number in range(3)]
    for number, source in enumerate(reloads):
        ward.reload("reloaded", replace(link.load, source=source))
        for minute in range(10 + 9 * number, 19 + 9 * number):
            world.bar(minute)
    world.settle()
    sent = world.sent[1:]
    assert [each.metadata["n"] for each in sent] == [
        minute for minute in range(1, 37) for _ in range(minute % 3)
    ]
    assert [each.metadata.get("version") for each in sent] == [
        (minute - 10) // 9 if minute >= 10 else None for minute in range(1, 37) for _ in range(minute % 3)
    ]
    assert len({each.metadata["codeHash"] for each in sent}) == 4
    assert world.described("reloaded")["position"]["expected"] == 3.0 + 2.0 * len(sent)
    assert sent[-1].metadata["expected"] == 3.0 + 2.0 * (len(sent) - 1)


def test_code_that_does_not_start_cleanly_leaves_the_old_one_in_place(ward: Ward) -> None:
    world = SealedWorld(ward, SOURCE)
    world.manager.start_session("AAPL", "counting", "kept")
    world.deliver()
    link = world.sealed("kept").link
    world.bar(2)
    for broken, reason in (
        ("class Counting(BaseStrategy:\n    pass\n", "line 1, column"),
        (SOURCE.replace('state["seen"]', 'state["sene"]'), "set_state raised KeyError"),
        (
            SOURCE.replace("def on_start(self):", "def on_start(self):\n        raise ValueError('no')"),
            "ValueError",
        ),
    ):
        with pytest.raises(StrategyError, match=reason):
            ward.reload("kept", replace(link.load, source=broken))
    world.bar(5)
    world.settle()
    assert [each.metadata["n"] for each in world.sent[1:]] == [1, 1, 2, 2]
    assert len({each.metadata["codeHash"] for each in world.sent}) == 1
