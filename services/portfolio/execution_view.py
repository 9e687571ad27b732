"""The executions of this worker as it shows them: over HTTP and as metrics."""

from decimal import Decimal
from typing import Any

from models.portfolio import ZERO
from models.portfolio_execution import Execution
from services.portfolio.events import describe_positions, plain
from services.portfolio.executor import PortfolioExecutor
from services.portfolio.position_monitor import PositionMonitor

Record = dict[str, Any]


class ExecutionView:
    """What the worker shows of the executions it runs: read from memory, so that nobody waits."""

    def __init__(self, executor: PortfolioExecutor, monitor: PositionMonitor) -> None:
        self._executor = executor
        self._monitor = monitor

    def executions(self) -> list[Record]:
        """Describe every execution that has not ended, in the names of the tables."""
        return [self._describe(each) for each in self._executor.executions()]

    def active(self) -> int:
        """How many executions have not ended."""
        return len(self._executor.executions())

    def total_pnl(self) -> float:
        """What the executions under way have won together, after fees."""
        return float(sum(map(self._pnl, self._executor.executions()), ZERO))

    def _pnl(self, execution: Execution) -> Decimal:
        return self._monitor.value(execution).total_pnl

    def _describe(self, execution: Execution) -> Record:
        value = self._monitor.value(execution)
        trades = execution.ledger.trades
        return {
            "execution_id": execution.key,
            "strategy_id": str(execution.strategy_id),
            "user_id": str(execution.user_id),
            "name": execution.config.name,
            "status": execution.status.value,
            "reason": execution.reason,
            "cycle": execution.state.cycle,
            "positions": {
                symbol: {name: float(number) for name, number in each.items()}
                for symbol, each in describe_positions(value).items()
            },
            "open_orders": len(execution.open_orders),
            "cash": float(plain(execution.ledger.cash)),
            "total_value": float(value.equity),
            "total_exposure": float(value.exposure),
            "total_pnl": float(value.total_pnl),
            "realized_pnl": float(value.realised_pnl),
            "unrealized_pnl": float(value.unrealised_pnl),
            "fees": float(value.fees),
            "total_trades": trades.total,
            "winning_trades": trades.winning,
            "losing_trades": trades.losing,
            "started_at": execution.started_at.isoformat(),
            "last_rebalanced_at": None
            if execution.rebalanced_at is None
            else execution.rebalanced_at.isoformat(),
        }
