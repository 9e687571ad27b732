"""Changed rows of the catalogue are taken up by running sessions, once each."""

import pytest

from services.reloading import Reloader
from services.sandbox.ward import Ward
from services.strategy_source import Recipe, StrategyRecipe
from strategies.mock_strategy import MockStrategy
from tests.sealed_world import SealedWorld, warded

SOURCE = """
def on_bar(bar):
    send_signal("BUY", 1.0, 1.0, metadata={"version": 1})
"""


def test_changed_code_is_taken_up_by_itself_and_broken_code_is_tried_once() -> None:
    with warded() as ward:
        world = SealedWorld(ward, SOURCE)
        world.manager.start_session("AAPL", "counting", "s1")
        world.deliver()
        link, changed = world.sealed("s1").link, list[str]()
        world.source = "def on_bar(bar)\n"
        Reloader(world, ward, changed.append).watch(0.02)  # type: ignore[arg-type] # which plays the source
        world.until(lambda: link.reloads == 1)
        assert "did not take over: line 1, column" in world.described("s1")["reason"]
        world.bar(1)
        world.source = SOURCE.replace("1}", "2}")
        world.until(lambda: link.reloads == 2)
        assert world.described("s1")["reason"] is None
        world.bar(2)
        world.settle()
        assert [each.metadata["version"] for each in world.sent] == [1, 2]
        assert changed == ["s1", "s1"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def on_bar(): pass", "line 1, column 1: on_bar() is called with the bar: write `def on_bar(bar):`"),
        ("def on_bars(bar): pass", "line 1, column 1: nobody calls on_bars; did you mean on_bar?"),
        (
            "class A(BaseStrategy):\n    def on_bar(self): pass\n    def on_trade(self, trade): pass",
            "line 2, column 5: A.on_bar(self) is called with the bar: write `def on_bar(self, bar):`",
        ),
    ],
)
def test_a_session_of_code_that_could_not_be_called_says_so_before_the_first_bar(
    source: str, reason: str
) -> None:
    with warded() as ward:
        world = SealedWorld(ward, source)
        world.manager.start_session("AAPL", "counting", "s1")
        world.deliver()
        shown = world.described("s1")
        assert (shown["state"], reason in shown["reason"]) == ("ERROR", True), shown["reason"]


SCRIPT = "send_signal('BUY', 1.0, 1.0, metadata={'version': 1})"
TAKEN = SCRIPT.replace("1}", "2}")


def noted_after(world: SealedWorld, ward: Ward, source: str) -> str | None:
    """Reload a session with this source; return what is noted of it."""
    world.source = source
    link = world.sealed("s1").link
    before = link.reloads
    Reloader(world, ward, lambda _: None).reload("counting")  # type: ignore[arg-type] # which plays the source
    world.until(lambda: link.reloads > before)
    reason = world.described("s1")["reason"]
    return None if reason is None else str(reason)


@pytest.mark.parametrize("bars", [0, 7])
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = 1\n1 / 0", "line 2, column 1: on_bar raised ZeroDivisionError: division by zero"),
        ("import requests", "line 1, column 1: no module 'requests'"),
        ("bar.close.no_such", "on_bar raised AttributeError"),
        ("while True: pass", "on_bar was interrupted there"),
        ("state['n'] = state.get('n', 0) + 1\nwhile state['n'] == 2: pass", "on_bar was interrupted there"),
        ("import sys\nsys.modules['posix'].getppid()", "its process ended there: it made a system call"),
    ],
)
def test_a_script_that_answers_no_bar_does_not_take_over(source: str, reason: str, bars: int) -> None:
    with warded() as ward:
        world = SealedWorld(ward, SCRIPT)
        world.manager.start_session("AAPL", "counting", "s1")
        world.deliver()
        for minute in range(bars):
            world.bar(minute)
        noted = noted_after(world, ward, source) or ""
        assert "did not take over: " in noted
        assert reason in noted
        world.bar(bars + 1)
        world.settle()
        assert [each.metadata["version"] for each in world.sent] == [1] * (bars + 1)
        assert (world.sealed("s1").link.restarts, ward.strikes.quarantined("s1")) == (0, None)


def test_a_script_that_answers_some_of_the_last_bars_takes_over_with_the_old_one_s_state() -> None:
    script = f"state['n'] = state.get('n', 0) + 1\n{SCRIPT}"
    with warded() as ward:
        world = SealedWorld(ward, script)
        world.manager.start_session("AAPL", "counting", "s1")
        world.deliver()
        for minute in range(7):
            world.bar(minute)
        world.settle()
        assert [bar.timestamp.minute for bar in world.sealed("s1").link.last_bars] == [2, 3, 4, 5, 6]
        taken = (
            f"state['n'] = state.get('n', 0) + 1\nif state['n'] < 3: 1 / 0\n{TAKEN[:-2]}, 'n': state['n']}})"
        )
        assert noted_after(world, ward, taken) is None
        world.bar(8)
        world.settle()
        assert [each.metadata.get("n") for each in world.sent] == [None] * 7 + [8]


class Emptied(SealedWorld):
    """Its row holds no code any more once it is `emptied`."""

    emptied = False
    looked = 0

    def find(self, strategy_id: str, symbol: str) -> Recipe:  # type: ignore[override]
        if self.emptied:
            self.looked += 1
            return StrategyRecipe(MockStrategy, {})
        return super().find(strategy_id, symbol)


def test_a_row_that_holds_no_code_any_more_is_noted_once_and_taken_up_when_it_does() -> None:
    with warded() as ward:
        world, changed = Emptied(ward, SOURCE), list[str]()
        world.manager.start_session("AAPL", "counting", "s1")
        world.deliver()
        link = world.sealed("s1").link
        world.emptied = True
        Reloader(world, ward, changed.append).watch(0.02)  # type: ignore[arg-type] # which plays the source
        world.until(lambda: world.looked >= 3)
        assert link.reloads == 1
        assert "its row holds no Python any more" in world.described("s1")["reason"]
        world.bar(1)
        world.source, world.emptied = SOURCE.replace("1}", "2}"), False
        world.until(lambda: link.reloads == 2)
        assert world.described("s1")["sandbox"]["reloadRefused"] is None
        world.bar(2)
        world.settle()
        assert [each.metadata["version"] for each in world.sent] == [1, 2]
        assert changed == ["s1", "s1"]


def test_code_may_ask_for_longer_calls() -> None:
    slow = "deadline_ms = 5000\ndef on_bar(bar):\n    sum(range(20_000_000))\n"
    with warded() as ward:
        world = SealedWorld(ward, slow)
        world.manager.start_session("AAPL", "counting", "s1")
        world.deliver()
        world.bar(1)
        world.settle()
        assert world.sealed("s1").link.restarts == 0
