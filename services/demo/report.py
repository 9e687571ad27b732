"""The report: one HTML file with its data, its charts and plotly inside, that loads nothing from anywhere."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from models.errors import ConfigError
from models.market_data import Bar
from services.demo.failure import DemoFailed
from services.demo.outcome import Outcome, SessionOutcome
from services.demo.portfolio import ALLOCATION, CAPITAL, NAME
from services.demo.portfolio_outcome import PortfolioOutcome
from services.demo.results import Fill
from services.page import document

FOLDER = Path(__file__).parent
DAY = "%Y-%m-%d"


def write_report(  # noqa: PLR0913 - what the page shows
    path: Path,
    bars: Sequence[Bar],
    outcome: Outcome,
    *,
    cash: Decimal,
    seconds: float,
    made: datetime,
) -> None:
    """Write the page, making its folder. `seconds` is how long the demo took until now.

    Raises DemoFailed when plotly is not installed or the file cannot be written.
    """
    total = outcome.totals
    data = {
        "first": bars[0].timestamp.strftime(DAY),
        "last": bars[-1].timestamp.strftime(DAY),
        "cash": float(cash),
        "made": f"{made:%Y-%m-%d at %H:%M UTC}",
        "summary": {
            "bars": len(bars),
            "signals": total.signals,
            "trades": total.trades,
            "rejections": total.rejections,
            "profit": float(total.profit),
            "seconds": seconds,
        },
        "checks": [asdict(check) for check in outcome.checks],
        "prices": _prices(bars),
        "sessions": [_session(session) for session in outcome.sessions],
        "portfolio": _portfolio(outcome.portfolio),
    }
    page = render(data)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise DemoFailed(f"the report cannot be written to {path}: {error.strerror}") from error


def render(data: dict[str, Any]) -> str:
    """Put the data into the page. Raises DemoFailed when plotly is not installed."""
    try:
        return document.render(FOLDER / "report.html", FOLDER / "report.js", data)
    except ConfigError as error:
        raise DemoFailed(str(error)) from error


def _prices(bars: Sequence[Bar]) -> dict[str, dict[str, list[Any]]]:
    columns: dict[str, dict[str, list[Any]]] = {}
    for bar in sorted(bars, key=lambda bar: (bar.symbol, bar.timestamp)):
        of_symbol = columns.setdefault(
            bar.symbol, {"date": [], "open": [], "high": [], "low": [], "close": []}
        )
        of_symbol["date"].append(bar.timestamp.strftime(DAY))
        for name in ("open", "high", "low", "close"):
            of_symbol[name].append(getattr(bar, name))
    return columns


def _session(session: SessionOutcome) -> dict[str, Any]:
    return {
        **session.describe(),
        "equity": [round(float(value), 2) for value in session.performance.equity],
        "fills": [_fill(fill) for fill in session.fills],
    }


def _fill(fill: Fill) -> dict[str, Any]:
    return {
        "bar": fill.bar,
        "action": fill.action,
        "quantity": float(fill.quantity),
        "price": float(fill.price),
    }


def _portfolio(portfolio: PortfolioOutcome) -> dict[str, Any]:
    return {
        **portfolio.describe(),
        "name": NAME,
        "capital": CAPITAL,
        "allocation": ALLOCATION,
        "curve": [round(float(value), 2) for value in portfolio.curve],
    }
