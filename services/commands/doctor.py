"""`python main.py doctor`: what is wrong here, and what to do about it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from config import load_settings
from models.errors import ConfigError
from services.commands.output import AsJson, make_console, print_json, shown

if TYPE_CHECKING:
    from services.commands.checks import Finding


def doctor(as_json: AsJson = False) -> None:
    """Check configuration, Redis, database, gateway or OMS, and ports; exit code 1 when one is wrong."""
    findings = []
    for finding in diagnose():
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        print_json([finding._asdict() for finding in findings])
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def diagnose() -> Iterator["Finding"]:
    """Give the findings as they are made; with a wrong configuration nothing else can be looked at."""
    from services.commands.checks import Finding, examine
    from services.telemetry.logs import configure_logging

    configure_logging("CRITICAL", "console")  # what is wrong is a finding, not a line among them
    try:
        settings = load_settings()
    except ConfigError as error:
        for problem in str(error).splitlines():
            yield Finding("configuration", ok=False, detail=problem)
        return
    yield Finding("configuration", ok=True, detail="every setting can be used")
    yield from examine(settings)


def _print(finding: "Finding") -> None:
    mark = Text("✓ ", style="green") if finding.ok else Text("✗ ", style="bold red")
    make_console().print(mark + Text(shown(f"{finding.check}: {finding.detail}")))
