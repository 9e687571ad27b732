"""What a person sees while the demo plays: live figures on a terminal, a line now and then elsewhere."""

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOKS_PER_SECOND = 4.0
LINES_EVERY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the demo is. `best` and `worst` are sessions with their equity in the quote currency."""

    day: date
    published: int
    delivered: int
    signals: int
    trades: int
    rejected: int
    pending: int
    best: tuple[str, float] | None
    worst: tuple[str, float] | None


class Screen:
    """Writes to a console; without a terminal nothing moves and nothing is coloured."""

    def __init__(self, console: Console) -> None:
        self.console = console
        unicode = console.encoding.lower().startswith("utf")
        self.good, self.bad = ("✓", "✗") if unicode else ("ok", "WRONG")

    def step(self, done: str) -> None:
        """Say that something is done."""
        self.console.print(f"[green]{self.good}[/] {done}", highlight=False)

    def note(self, text: str) -> None:
        """Say something by the way."""
        self.console.print(text, style="dim", highlight=False)

    @contextmanager
    def board(self, bars: int) -> "Iterator[Board]":
        """Show how far the demo is, until the block ends."""
        if not self.console.is_terminal or self.console.is_dumb_terminal:
            yield Board(self.console, bars, None)
            return
        with Live(console=self.console, refresh_per_second=LOOKS_PER_SECOND, transient=True) as live:
            yield Board(self.console, bars, live)


class Board:
    """Shows the latest standing, unless it showed one a moment ago."""

    def __init__(self, console: Console, bars: int, live: Live | None) -> None:
        self._console = console
        self._bars = bars
        self._live = live
        self._shown_at = float("-inf")
        self._progress = Progress(
            TextColumn("  playing"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} bars"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task("bars", total=bars)

    def is_due(self) -> bool:
        """Whether it is time for another look."""
        pause = LINES_EVERY_SECONDS if self._live is None else 1 / LOOKS_PER_SECOND
        return time.monotonic() - self._shown_at >= pause

    def show(self, standing: Standing) -> None:
        """Show a standing."""
        self._shown_at = time.monotonic()
        if self._live is None:
            self._console.print(_line(standing, self._bars), highlight=False, soft_wrap=True)
            return
        self._progress.update(self._task, completed=standing.published)
        self._live.update(Group(self._progress, _figures(standing)))


def _line(standing: Standing, bars: int) -> str:
    return (
        f"  {standing.day}: {standing.published:,} of {bars:,} bars published, "
        f"{standing.delivered:,} delivered, {standing.signals:,} signals, {standing.trades:,} trades, "
        f"{standing.rejected:,} rejected"
    )


def _figures(standing: Standing) -> Table:
    figures = Table.grid(padding=(0, 2))
    for width in (9, 10, 12, 24):  # fixed, so that nothing moves sideways
        figures.add_column(min_width=width)
    figures.add_row("  [dim]day[/]", f"{standing.day}", "[dim]delivered[/]", f"{standing.delivered:,}")
    figures.add_row(
        "  [dim]signals[/]", f"{standing.signals:,}", "[dim]on their way[/]", f"{standing.pending:,}"
    )
    figures.add_row("  [dim]trades[/]", f"{standing.trades:,}", "[dim]rejected[/]", f"{standing.rejected:,}")
    for name, held in (("best", standing.best), ("worst", standing.worst)):
        if held is not None:
            session, equity = held
            figures.add_row(f"  [dim]{name}[/]", f"{equity:,.0f}", "[dim]account of[/]", session)
    return figures
