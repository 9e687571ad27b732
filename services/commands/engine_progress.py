"""How far the engine is, on a terminal: runs, how many failed, and when it will be done."""

from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from services.history.engine.batch import Progress as BatchProgress

SPEED_SECONDS = 600.0  # over which the speed is taken; a run may well take a minute


@contextmanager
def watching(
    console: Console, clock: "Callable[[], float]" = monotonic
) -> "Iterator[Callable[[BatchProgress], None]]":
    """Give what is to be told of progress; without a terminal it shows nothing.

    The time left is that of the runs still to be computed, at the speed of those that were: what was there
    already took none. `clock` counts seconds. Whoever tells of another batch begins again.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[there]}/{task.fields[runs]}"),
        TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, get_time=clock, speed_estimate_period=SPEED_SECONDS
    ) as screen:
        shown = screen.add_task("runs", total=None, failed=0, there=0, runs=0)
        told_of: BatchProgress | None = None

        def show(progress: "BatchProgress") -> None:
            nonlocal told_of
            if progress is not told_of:
                told_of = progress
                screen.reset(shown)
            screen.update(
                shown,
                total=progress.runs - progress.reused,
                completed=progress.done,
                failed=progress.failed,
                there=progress.reused + progress.done,
                runs=progress.runs,
            )

        yield show
