"""How a demo ended: each session as three independent books tell it, and whether the books agree.

The worker counts what it sent and was answered; the gateway keeps a receipt of every signal it was handed;
the table of trades says what was booked. None of them reads another.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.demo.books import Check, GatewayBook, WorkerBook
from services.demo.portfolio_outcome import PortfolioOutcome
from services.demo.results import Fill, Performance


@dataclass(frozen=True, slots=True)
class SessionOutcome:
    """One session at the end of the demo; `fills` are its rows in the table of trades."""

    session_id: str
    strategy: str
    symbol: str
    worker: WorkerBook
    gateway: GatewayBook
    fills: tuple[Fill, ...]
    performance: Performance

    @property
    def profit(self) -> Decimal:
        """Realised and unrealised, less fees."""
        account = self.performance.account
        return account.realised + self.performance.unrealised - account.fees

    def describe(self) -> dict[str, Any]:
        """Return the row of the final table; amounts in the quote currency, the drawdown as a share."""
        account = self.performance.account
        return {
            "session_id": self.session_id,
            "strategy": self.strategy,
            "symbol": self.symbol,
            "bars": self.worker.bars,
            "signals": self.worker.signals,
            "executed": self.worker.executed,
            "rejected": self.worker.rejected,
            "position": float(account.quantity),
            "realised": round(float(account.realised), 2),
            "unrealised": round(float(self.performance.unrealised), 2),
            "profit": round(float(self.profit), 2),
            "max_drawdown": round(float(self.performance.max_drawdown), 6),
        }


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all sessions."""

    signals: int
    receipts: int
    trades: int
    rejections: int
    profit: Decimal


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that a demo found out. `bars` counts the rows of prices by what became of them."""

    sessions: tuple[SessionOutcome, ...]
    portfolio: PortfolioOutcome
    checks: tuple[Check, ...]
    totals: Totals
    bars: Mapping[str, int]

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)

    def describe(self) -> dict[str, Any]:
        """Return the document of `--json`; amounts in the quote currency, drawdowns as shares."""
        return {
            "holds": self.holds,
            "checks": [{"text": check.text, "holds": check.holds} for check in self.checks],
            "bars": dict(self.bars),
            "signals": self.totals.signals,
            "receipts": self.totals.receipts,
            "trades": self.totals.trades,
            "rejections": self.totals.rejections,
            "profit": round(float(self.totals.profit), 2),
            "sessions": [session.describe() for session in self.sessions],
            "portfolio": self.portfolio.describe(),
        }


def add_up(sessions: Iterable[SessionOutcome]) -> Totals:
    """Sum what the sessions did."""
    each = list(sessions)
    return Totals(
        signals=sum(session.worker.signals for session in each),
        receipts=sum(session.gateway.receipts for session in each),
        trades=sum(len(session.fills) for session in each),
        rejections=sum(session.gateway.rejections for session in each),
        profit=sum((session.profit for session in each), Decimal(0)),
    )


def check_books(
    sessions: tuple[SessionOutcome, ...], published: Mapping[str, int], delivered: int
) -> tuple[Check, ...]:
    """Compare the books of every session; `published` counts bars by symbol, `delivered` is by the worker."""
    total = add_up(sessions)
    bars, wanted = sum(published.values()), sum(published.get(each.symbol, 0) for each in sessions)
    told = sum(each.worker.bars for each in sessions)
    executed = sum(each.worker.executed for each in sessions)
    rejected = sum(each.worker.rejected for each in sessions)
    return (
        _check(
            f"signals {total.signals:,} = gateway receipts {total.receipts:,} = "
            f"trades {total.trades:,} + rejections {total.rejections:,}",
            sessions,
            lambda each: (
                each.worker.signals == each.gateway.receipts == len(each.fills) + each.gateway.rejections
            ),
        ),
        _check(
            f"the worker counts {executed:,} executed and {rejected:,} rejected, "
            "and holds what the trades add up to",
            sessions,
            lambda each: (
                (each.worker.executed, each.worker.rejected, each.worker.position)
                == (len(each.fills), each.gateway.rejections, each.performance.account.quantity)
            ),
        ),
        _check(
            f"bars published {bars:,} = delivered {delivered:,}; handed to sessions {told:,} of {wanted:,}",
            sessions,
            lambda each: each.worker.bars == published.get(each.symbol, 0),
            also=bars == delivered,
        ),
    )


def _check(
    text: str,
    sessions: Iterable[SessionOutcome],
    agrees: Callable[[SessionOutcome], bool],
    *,
    also: bool = True,
) -> Check:
    differing = [f"{each.strategy} {each.symbol}" for each in sessions if not agrees(each)]
    if differing:
        return Check(f"{text} (not so for {', '.join(differing)})", holds=False)
    return Check(text, holds=also)
