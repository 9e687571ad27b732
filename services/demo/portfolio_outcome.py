"""What the tables say of the demo's portfolio, and whether its books agree with the gateway's."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.db_client import Database
from services.demo.books import Check, GatewayBook

ENDED = ("stopped", "completed")

_SUMMARY = """
    SELECT status, reason, realized_pnl, unrealized_pnl, fees, total_trades, winning_trades
    FROM strategy_executions WHERE execution_id = %s
"""
_ORDERS = """
    SELECT count(*), count(*) FILTER (WHERE status = 'FILLED'), count(*) FILTER (WHERE status = 'REJECTED'),
           count(DISTINCT cycle) FILTER (WHERE reason = 'rebalance'),
           count(*) FILTER (WHERE status IN ('PENDING', 'ACCEPTED', 'PARTIALLY_FILLED')),
           coalesce(sum(CASE side WHEN 'BUY' THEN -1 ELSE 1 END * filled_quantity * filled_price - fee), 0)
    FROM execution_orders WHERE execution_id = %s
"""
_REDUCED = "SELECT count(*) FROM risk_events WHERE execution_id = %s AND action_taken = 'reduced'"
_CURVE = "SELECT total_value FROM position_snapshots WHERE execution_id = %s ORDER BY snapshot_id"


@dataclass(frozen=True, slots=True)
class PortfolioOutcome:
    """How the portfolio ended. Amounts in the quote currency; `cash_flow` is what its fills brought in.

    `reduced` counts orders that the risk desk made smaller, `curve` is its value over time.
    """

    execution_id: str
    status: str
    orders: int
    filled: int
    rejected: int
    rebalancings: int
    reduced: int
    trades: int
    won: int
    realised: Decimal
    unrealised: Decimal
    fees: Decimal
    cash_flow: Decimal
    curve: tuple[Decimal, ...]

    @property
    def profit(self) -> Decimal:
        """Realised and unrealised, less fees."""
        return self.realised + self.unrealised - self.fees

    def describe(self) -> dict[str, Any]:
        """Return the portfolio's part of `--json`."""
        return {
            "execution_id": self.execution_id,
            "status": self.status,
            "orders": self.orders,
            "filled": self.filled,
            "rejected": self.rejected,
            "reduced_by_risk": self.reduced,
            "rebalancings": self.rebalancings,
            "trades": self.trades,
            "winning_trades": self.won,
            "fees": round(float(self.fees), 2),
            "profit": round(float(self.profit), 2),
        }


def read_portfolio(database: Database, execution_id: str) -> PortfolioOutcome:
    """Read how an execution stands. Raises StorageError."""
    with database.transaction() as cursor:
        cursor.execute(_SUMMARY, (execution_id,))
        [(status, _, realised, unrealised, fees, trades, won)] = cursor.fetchall()
        cursor.execute(_ORDERS, (execution_id,))
        [(orders, filled, rejected, rebalancings, _, cash_flow)] = cursor.fetchall()
        cursor.execute(_REDUCED, (execution_id,))
        [(reduced,)] = cursor.fetchall()
        cursor.execute(_CURVE, (execution_id,))
        curve = tuple(value for (value,) in cursor.fetchall())
    return PortfolioOutcome(
        execution_id=execution_id,
        status=status,
        orders=orders,
        filled=filled,
        rejected=rejected,
        rebalancings=rebalancings,
        reduced=reduced,
        trades=trades,
        won=won,
        realised=realised,
        unrealised=unrealised,
        fees=fees,
        cash_flow=cash_flow,
        curve=curve,
    )


def check_portfolio(portfolio: PortfolioOutcome, gateway: GatewayBook, trades: int) -> Check:
    """Compare its orders with what the gateway was handed and booked, and its profit with its fills."""
    return Check(
        f"the portfolio: orders {portfolio.orders:,} = gateway receipts {gateway.receipts:,} = "
        f"trades {trades:,} + rejections {gateway.rejections:,}, and its fills add up to its profit",
        holds=portfolio.orders == gateway.receipts == trades + gateway.rejections
        and portfolio.status in ENDED
        and portfolio.cash_flow == portfolio.profit,
    )
