"""The end of a demo for a person: a row per session, the checks, and how to look around."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.demo.outcome import Outcome, SessionOutcome, Totals
from services.demo.portfolio import ALLOCATION, CAPITAL
from services.demo.portfolio_outcome import PortfolioOutcome
from services.demo.screen import Screen

# Where a terminal is narrow the headings give way, never the numbers.
NAMES = ("Strategy", "Symbol")
HEADINGS = ("Bars", "Signals", "Executed", "Rejected", "Position", "Realised", "Unrealised", "Drawdown")
SHORT_HEADINGS = ("Bars", "Sign.", "Exec.", "Rej.", "Pos.", "Realised", "Unreal.", "Drawd.")
WIDE = 104


def show_outcome(screen: Screen, outcome: Outcome) -> None:
    """Print the table of sessions and the checks."""
    console = screen.console
    console.print()
    console.print(_table(outcome, HEADINGS if console.width >= WIDE else SHORT_HEADINGS))
    console.print(_portfolio_line(outcome.portfolio), soft_wrap=True)
    for check in outcome.checks:
        mark = Text(screen.good, "bold green") if check.holds else Text(screen.bad, "bold red")
        console.print(mark, Text(check.text), soft_wrap=True)
    console.print()


def show_addresses(console: Console, worker_url: str, gateway_url: str, environment: Path, user: str) -> None:
    """Print how to look around while everything is up."""
    lines = (
        ("worker", f"{worker_url}/sessions  /metrics  /ready  /health"),
        (
            "gateway",
            f"{gateway_url}/health, with the token /api/portfolio?userId={user}",
        ),
        ("passwords", f". {shlex.quote(str(environment))}"),
        ("then", 'psql "$DATABASE_URL"'),
        ("or", f'curl -H "Authorization: Bearer $GATEWAY_TOKEN" "$GATEWAY_URL/api/trades?userId={user}"'),
    )
    console.print("Everything is still up; Ctrl-C ends it.", style="bold")
    for name, text in lines:
        console.print(Text(f"  {name:<11}", "dim"), Text(text), sep="", soft_wrap=True)


def environment_file(settings: Mapping[str, str]) -> str:
    """Return shell lines that set the settings."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())


def _table(outcome: Outcome, headings: Iterable[str]) -> Table:
    table = Table(
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_footer=True,
        header_style="bold",
        footer_style="bold",
    )
    footers = _footers(outcome.totals, outcome.sessions)
    for heading, footer in zip((*NAMES, *headings), footers, strict=True):
        table.add_column(
            heading, footer=footer, justify="left" if heading in NAMES else "right", no_wrap=True
        )
    for session in outcome.sessions:
        table.add_row(*_row(session))
    return table


def _row(session: SessionOutcome) -> tuple[str | Text, ...]:
    told, performance = session.worker, session.performance
    return (
        session.strategy,
        session.symbol,
        f"{told.bars:,}",
        f"{told.signals:,}",
        f"{told.executed:,}",
        f"{told.rejected:,}",
        f"{performance.account.quantity.normalize():,f}",
        _amount(float(performance.account.realised)),
        _amount(float(performance.unrealised)),
        f"{performance.max_drawdown:.1%}",
    )


def _footers(total: Totals, sessions: Iterable[SessionOutcome]) -> tuple[str | Text, ...]:
    each = list(sessions)
    return (
        f"{len(each)} sessions",
        "",
        f"{sum(session.worker.bars for session in each):,}",
        f"{total.signals:,}",
        f"{sum(session.worker.executed for session in each):,}",
        f"{sum(session.worker.rejected for session in each):,}",
        "",
        _amount(float(sum(session.performance.account.realised for session in each))),
        _amount(float(sum(session.performance.unrealised for session in each))),
        "",
    )


def _portfolio_line(portfolio: PortfolioOutcome) -> Text:
    return Text.assemble(
        (f"Portfolio of {', '.join(ALLOCATION)}: ", "bold"),
        f"{CAPITAL:,} ",
        _amount(float(portfolio.profit)),
        f", {portfolio.filled:,} orders filled, {portfolio.rebalancings:,} rebalancings, "
        f""
        f"{portfolio.reduced:,} made smaller by the risk desk, {portfolio.status}",
    )


def _amount(value: float) -> Text:
    shown = round(value)
    return Text(f"{shown:+,}" if shown else "0", "green" if shown > 0 else "red" if shown < 0 else "")
