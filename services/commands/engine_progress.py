"""How far the engine is, on a terminal: runs, how many failed, and when it will be done."""

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from services.history.engine.batch import Progress as BatchProgress


@contextmanager
def watching(console: Console) -> "Iterator[Callable[[BatchProgress], None]]":
    """Give what is to be told of progress; without a terminal it shows nothing."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as screen:
        shown = screen.add_task("runs", total=None, failed=0)

        def show(progress: "BatchProgress") -> None:
            screen.update(
                shown,
                total=progress.runs,
                completed=progress.reused + progress.done,
                failed=progress.failed,
            )

        yield show
