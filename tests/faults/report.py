"""What a run of the experiments leaves behind: a table for people, a file of JSON for comparisons."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.markup import escape
from rich.table import Table

from tests.faults.result import Result

NUMBERS = ("rounds", "decided", "executed", "lost", "duplicated", "unknown")


@dataclass(frozen=True)
class Report:
    """The results of one run, and the seed with which it can be run again."""

    began_at: datetime
    seed: int
    quick: bool
    results: Sequence[Result]

    @property
    def kept(self) -> bool:
        """Whether every promise held."""
        return all(result.kept for result in self.results)

    def describe(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "at": self.began_at.isoformat(),
            "seed": self.seed,
            "form": "quick" if self.quick else "long",
            "kept": self.kept,
            "experiments": [result.describe() for result in self.results],
        }

    def table(self) -> Table:
        """Return the results as people read them; what broke, and what else was seen, stands below."""
        table = Table(title=f"faults, {'quick' if self.quick else 'long'} form, seed {self.seed}")
        table.add_column("experiment", no_wrap=True)
        for heading in (*NUMBERS, "recovers in s"):
            table.add_column(heading, justify="right")
        table.add_column("verdict", no_wrap=True)
        for result in self.results:
            tally = result.tally
            counts = (tally.decided, tally.executed, tally.lost, tally.duplicated, tally.unknown)
            table.add_row(
                result.name,
                str(result.rounds),
                *map(str, counts),
                _seconds(result.recover),
                "[green]kept[/]" if result.kept else "[bold red]broken[/]",
            )
        return table

    def remarks(self) -> list[str]:
        """Return a line per experiment that saw more than fits the table, and one per broken promise."""
        lines = []
        for result in self.results:
            figures = {**result.figures}
            if result.tally.not_recorded:
                figures["not recorded"] = result.tally.not_recorded
            if figures:
                shown = ", ".join(f"{name} {_figure(value)}" for name, value in figures.items())
                lines.append(f"[dim]{result.name}: {escape(shown)}[/]")
            lines += [f"[bold red]{result.name}: {escape(complaint)}[/]" for complaint in result.broken]
        return lines

    def store(self, folder: Path) -> Path:
        """Write the JSON to a file named by the time; return the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.began_at:%Y%m%dT%H%M%SZ}.json"
        path.write_text(json.dumps(self.describe(), indent=2) + "\n", encoding="utf-8")
        return path


def _seconds(values: Sequence[float]) -> str:
    return f"{median(values):.2f} – {max(values):.2f}" if values else "–"


def _figure(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.4g}"
