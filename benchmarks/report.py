"""What a run of the benchmarks leaves behind: a table for people, a file of JSON for comparisons."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from benchmarks.effort import Effort
from benchmarks.rows import Row

if TYPE_CHECKING:
    import redis

PACKAGES = ("hiredis", "msgspec", "psycopg2-binary", "pydantic", "redis", "requests", "urllib3")
SMALL = 10
MARKS = {True: "[green]yes[/]", False: "[bold red]no[/]", None: ""}
CONDITIONS = (
    "the server keeps what a subscriber has not read yet (client-output-buffer-limit pubsub 0 0 0)",
    "by PostgreSQL: every signal is a row on disk before it is a request; elsewhere the outbox is in memory",
)


@dataclass(frozen=True)
class Report:
    """The rows of one run with how and on what they were measured; nothing in it names the machine."""

    began_at: datetime
    effort: Effort
    machine: dict[str, Any]
    rows: Sequence[Row]

    def describe(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "at": self.began_at.isoformat(),
            "effort": asdict(self.effort),
            "machine": self.machine,
            "conditions": CONDITIONS,
            "rows": [row.describe() for row in self.rows],
        }

    def table(self) -> Table:
        """Return the rows as people read them."""
        table = Table(
            title=f"{self.effort.form} form, medians of {self.effort.rounds} rounds",
            caption="\n".join(CONDITIONS),
        )
        table.add_column("what")
        table.add_column("value", justify="right")
        table.add_column("floor beside it")
        for heading in ("ratio", "from – to", "goal", "met"):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(
                row.name,
                f"{_number(row.value)} {row.unit}",
                f"{row.floor_name} {_number(row.floor)}",
                f"{row.ratio:.2f}",
                f"{min(row.ratios):.2f} – {max(row.ratios):.2f}",
                "" if row.goal is None else str(row.goal),
                MARKS[row.met],
            )
        return table

    def store(self, folder: Path) -> Path:
        """Write the JSON to a file named by the time; return the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.began_at:%Y%m%dT%H%M%SZ}.json"
        path.write_text(json.dumps(self.describe(), indent=2) + "\n", encoding="utf-8")
        return path


def machine_facts(client: "redis.Redis") -> dict[str, Any]:
    """Return what the numbers depend on: processor count, load, interpreter, versions. No names, no paths."""
    server: Any = client.info("server")
    return {
        "cores": os.cpu_count(),
        "load": [round(average, 2) for average in os.getloadavg()],
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "valkey": server.get("valkey_version"),
        "packages": {name: version(name) for name in PACKAGES},
    }


def now() -> datetime:
    """Return the time by which a report is named, in UTC."""
    return datetime.now(UTC)


def _number(value: float) -> str:
    return f"{value:,.2f}" if abs(value) < SMALL else f"{value:,.0f}"
