"""What became of one strategy over one symbol."""

from typing import Any, Literal

from msgspec import Struct

from services.history.data_checks import Review


class SymbolReport(Struct, frozen=True, kw_only=True):
    """What the data checks say of a symbol: bars, rows left out, findings as JSON."""

    symbol: str
    bars: int = 0
    left_out: int = 0
    findings: list[dict[str, Any]] = []


class RunResult(Struct, frozen=True, kw_only=True):
    """The result of a run.

    `reason` says why it failed, or what it had to do without; `hung` whether a call had to be interrupted.
    `signal_lines` is what COPY takes of its signals.
    """

    run_id: str
    data_hash: str
    strategy: str
    report: SymbolReport
    status: Literal["done", "failed"] = "done"
    reason: str | None = None
    hung: bool = False
    signals: int = 0
    statistics: dict[str, Any] = {}
    signal_lines: str = ""
    seconds: float = 0.0


def report_of(symbol: str, found: Review, repaired: dict[str, int]) -> SymbolReport:
    """Put what was found and what was mended into words that fit a table."""
    findings: list[dict[str, Any]] = [
        {"kind": finding.kind.value, "count": finding.count, "examples": list(finding.examples)}
        for finding in found.findings
    ]
    findings.extend(
        {"kind": f"repaired by {rule}", "count": count, "examples": []} for rule, count in repaired.items()
    )
    return SymbolReport(symbol=symbol, bars=len(found.usable), left_out=found.left_out, findings=findings)
