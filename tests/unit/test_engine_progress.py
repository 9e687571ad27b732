"""How far the engine is, as a terminal shows it, and that nothing is shown where there is none."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from io import StringIO

import pytest
from rich.console import Console

from services.commands.engine_progress import watching
from services.history.engine.batch import Progress


class Screen:
    """A terminal, or none, that keeps what is written, and a clock that only the test moves."""

    def __init__(self, *, terminal: bool = True) -> None:
        self.seconds = 0.0
        self._written = StringIO()
        self._console = Console(
            file=self._written, force_terminal=terminal, width=120, color_system=None, legacy_windows=False
        )

    def watching(self) -> AbstractContextManager[Callable[[Progress], None]]:
        return watching(self._console, lambda: self.seconds)

    @property
    def text(self) -> str:
        return self._written.getvalue()

    @property
    def last_line(self) -> str:
        """What stood there at the end, before it was taken away."""
        return next(line for line in reversed(self.text.splitlines()) if "runs" in line)

    @property
    def eta(self) -> str:
        return self.last_line.partition("ETA ")[2].split()[0]


def compute(
    progress: Progress, runs: int, seconds: float, show: Callable[[Progress], None], at: Screen
) -> None:
    """Tell of so many runs more, each after so many seconds."""
    for _ in range(runs):
        at.seconds += seconds
        progress.done += 1
        show(progress)


def test_a_terminal_shows_runs_failures_and_how_long_it_has_taken() -> None:
    screen = Screen()
    with screen.watching() as show:
        progress = Progress(runs=1200, reused=200)
        show(progress)
        compute(progress, 300, 0.5, show, screen)
        progress.failed = 7
        show(progress)
    assert "500/1200" in screen.last_line
    assert "7 failed" in screen.last_line
    assert "0:02:30 ETA" in screen.last_line


@pytest.mark.parametrize(
    ("reused", "seconds", "eta"),
    [(0, 2.0, "0:03:00"), (40, 2.0, "0:01:40"), (40, 60.0, "0:50:00"), (90, 1.0, "0:00:00")],
)
def test_the_time_left_is_that_of_what_is_not_there_yet_at_the_speed_until_now(
    reused: int, seconds: float, eta: str
) -> None:
    screen = Screen()
    with screen.watching() as show:
        progress = Progress(runs=100, reused=reused)
        show(progress)
        compute(progress, 10, seconds, show, screen)
    assert screen.eta == eta


def test_what_is_found_there_on_the_way_makes_nothing_look_faster() -> None:
    screen = Screen()
    with screen.watching() as show:
        progress = Progress(runs=1000)
        compute(progress, 10, 2.0, show, screen)
        progress.reused = 900
        compute(progress, 10, 2.0, show, screen)
    assert "920/1000" in screen.last_line
    assert screen.eta == "0:02:40"


def test_before_anything_was_computed_nobody_knows_how_long_it_takes() -> None:
    screen = Screen()
    with screen.watching() as show:
        progress = Progress(runs=100, reused=50)
        show(progress)
        screen.seconds = 5.0
        show(progress)
    assert screen.eta == "-:--:--"


def test_another_batch_begins_again() -> None:
    screen = Screen()
    with screen.watching() as show:
        compute(Progress(runs=10), 10, 1.0, show, screen)
        progress = Progress(runs=10)
        show(progress)
        compute(progress, 4, 3.0, show, screen)
    assert "4/10" in screen.last_line
    assert "0:00:12 ETA" in screen.last_line
    assert screen.eta == "0:00:18"


def test_without_a_terminal_nothing_is_written() -> None:
    screen = Screen(terminal=False)
    with screen.watching() as show:
        compute(Progress(runs=10), 10, 1.0, show, screen)
    assert screen.text == ""
