"""How far the engine is, as a terminal shows it, and that nothing is shown where there is none."""

from io import StringIO

from rich.console import Console

from services.commands.engine_progress import watching
from services.history.engine.batch import Progress


def shown(progress: Progress, *, terminal: bool) -> str:
    """Return everything that was written while this was told."""
    written = StringIO()
    console = Console(
        file=written, force_terminal=terminal, width=100, color_system=None, legacy_windows=False
    )
    with watching(console) as show:
        show(progress)
    return written.getvalue()


def test_a_terminal_shows_runs_failures_and_when_it_will_be_done() -> None:
    line = shown(Progress(runs=1200, reused=200, done=300, failed=7), terminal=True)
    assert "500/1200" in line
    assert "7 failed" in line
    assert "ETA" in line


def test_without_a_terminal_nothing_is_written() -> None:
    assert shown(Progress(runs=1200, reused=200, done=300, failed=7), terminal=False) == ""
